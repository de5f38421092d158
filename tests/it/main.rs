//! Integration tests, one binary: what a user of the project would miss if it broke.

mod architecture;
