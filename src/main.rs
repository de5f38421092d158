//! The program `tradebridge`: everything is in the library.

fn main() {}
