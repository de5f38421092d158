//! The text of a document as it is consumed: lines are counted, and no single text or tag outgrows the memory.

use std::io::{self, BufRead, BufReader, Read};

use crate::connector::format::LONGEST_FIELD;

/// Counts lines, and stops a text or a tag without end before it fills the memory.
pub(super) struct Counted {
    text: BufReader<Box<dyn Read + Send>>,
    /// The line that reading has reached, counted from 1.
    pub line: u64,
    /// Bytes since the last text or tag began; whoever reads events sets it back.
    pub since_event: usize,
}

impl Counted {
    pub fn new(text: Box<dyn Read + Send>) -> Self {
        Self { text: BufReader::with_capacity(64 * 1024, text), line: 1, since_event: 0 }
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.since_event > LONGEST_FIELD {
            let message = format!("a text or a tag is longer than {LONGEST_FIELD} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.text.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // What was consumed stands in the buffer, so that filling it again reads nothing.
        if let Ok(available) = self.text.fill_buf() {
            #[allow(clippy::naive_bytecount)]
            let lines = available[..amount.min(available.len())].iter().filter(|b| **b == b'\n').count();
            self.line += lines as u64;
        }
        self.since_event += amount;
        self.text.consume(amount);
    }
}
