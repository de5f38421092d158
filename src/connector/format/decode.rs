//! From bytes to UTF-8: gzip is unpacked, an encoding is decoded. A byte that the encoding does not have is an error,
//! never a replacement character.

use std::io::{self, BufRead, BufReader, Read};

use encoding_rs::{Decoder, DecoderResult, EncoderResult};
use flate2::bufread::MultiGzDecoder;

/// How text is encoded, by a name of the WHATWG Encoding Standard (<https://encoding.spec.whatwg.org/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

impl Encoding {
    /// The encoding of a name such as `utf-8`, `windows-1252` or `iso-8859-15`.
    pub fn of(name: &str) -> Option<Self> {
        encoding_rs::Encoding::for_label(name.as_bytes()).map(Self)
    }

    /// UTF-8, with or without a byte order mark.
    pub fn utf8() -> Self {
        Self(encoding_rs::UTF_8)
    }

    /// The standard's name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Whether text can be written in it: the standard has no encoders for UTF-16 and the `replacement` encoding.
    pub fn writes(self) -> bool {
        self.0.output_encoding() == self.0
    }

    /// A text in this encoding, with references as XML has them for the characters that the encoding does not have.
    pub(super) fn bytes_with_references(self, text: &str) -> Vec<u8> {
        self.0.encode(text).0.into_owned()
    }

    /// A text in this encoding, or the first character that the encoding does not have.
    pub(super) fn bytes(self, text: &str) -> Result<Vec<u8>, char> {
        let mut encoder = self.0.new_encoder();
        let mut bytes = Vec::with_capacity(text.len() + 16);
        let mut rest = text;
        loop {
            let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut bytes, true);
            rest = &rest[read..];
            match result {
                EncoderResult::InputEmpty => return Ok(bytes),
                EncoderResult::OutputFull => bytes.reserve(rest.len() * 2 + 16),
                EncoderResult::Unmappable(character) => return Err(character),
            }
        }
    }
}

/// The text of a source as UTF-8 bytes. Gzip is recognised by its first bytes.
pub fn decoded(source: Box<dyn Read + Send>, encoding: Encoding) -> io::Result<Box<dyn Read + Send>> {
    Ok(decode(unpacked(source)?, encoding))
}

/// The text of an XML document as UTF-8 bytes, from the encoding that its first bytes or its declaration name;
/// without either it is UTF-8 (XML 1.0, section 4.3.3).
pub(super) fn decoded_as_declared(source: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut bytes = unpacked(source)?;
    let mut head = Vec::with_capacity(DECLARATION);
    (&mut bytes).take(DECLARATION as u64).read_to_end(&mut head)?;
    let encoding = declared(&head)?;
    Ok(decode(Box::new(io::Cursor::new(head).chain(bytes)), encoding))
}

/// How far into a document its declaration can reach, in bytes.
const DECLARATION: usize = 1024;

fn declared(head: &[u8]) -> io::Result<Encoding> {
    if let Some((encoding, _)) = encoding_rs::Encoding::for_bom(head) {
        return Ok(Encoding(encoding));
    }
    match head {
        [b'<', 0, ..] => return Ok(Encoding(encoding_rs::UTF_16LE)),
        [0, b'<', ..] => return Ok(Encoding(encoding_rs::UTF_16BE)),
        _ => {}
    }
    let Some(name) = declared_name(head) else { return Ok(Encoding::utf8()) };
    let encoding = Encoding::of(&name).ok_or_else(|| {
        let message = format!("the declaration names the encoding '{name}', which is not known; set `encoding`");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })?;
    // Whoever could read the declaration as ASCII did not read UTF-16: programs that serialise to a text in memory
    // leave that name behind.
    Ok(if encoding.0.is_ascii_compatible() { encoding } else { Encoding::utf8() })
}

fn declared_name(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let declaration = head.strip_prefix("<?xml")?.split_once("?>")?.0;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split_once(quote).map(|(name, _)| name.trim().to_owned())
}

fn unpacked(source: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut buffered = BufReader::with_capacity(BUFFER, source);
    // RFC 1952, section 2.3.1: a gzip member begins with 1f 8b.
    let packed = buffered.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if packed { Box::new(MultiGzDecoder::new(buffered)) } else { Box::new(buffered) })
}

fn decode(bytes: Box<dyn Read + Send>, encoding: Encoding) -> Box<dyn Read + Send> {
    Box::new(Decoded {
        bytes,
        name: encoding.0.name(),
        decoder: encoding.0.new_decoder_with_bom_removal(),
        input: vec![0; BUFFER],
        filled: 0..0,
        ended: false,
        output: vec![0; 2 * BUFFER],
        fresh: 0..0,
        read: 0,
        line: 1,
    })
}

const BUFFER: usize = 64 * 1024;

/// How often a byte is there.
pub(super) fn count(bytes: &[u8], wanted: u8) -> usize {
    // So few that a byte holds their number: many are compared and counted at once.
    bytes.chunks(255).map(|chunk| usize::from(chunk.iter().map(|byte| u8::from(*byte == wanted)).sum::<u8>())).sum()
}

struct Decoded {
    bytes: Box<dyn Read + Send>,
    name: &'static str,
    decoder: Decoder,
    input: Vec<u8>,
    filled: std::ops::Range<usize>,
    ended: bool,
    output: Vec<u8>,
    /// What of the output was decoded and not given yet.
    fresh: std::ops::Range<usize>,
    /// Bytes read so far, for messages.
    read: usize,
    /// The line that decoding has reached, for messages.
    line: usize,
}

impl Decoded {
    fn fill(&mut self) -> io::Result<()> {
        if self.filled.is_empty() {
            let count = self.bytes.read(&mut self.input)?;
            self.filled = 0..count;
            if count == 0 {
                self.ended = true;
            }
        }
        let input = &self.input[self.filled.clone()];
        let (result, read, written) =
            self.decoder.decode_to_utf8_without_replacement(input, &mut self.output, self.ended);
        self.fresh = 0..written;
        self.filled.start += read;
        self.read += read;
        let lines = count(&self.output[..written], b'\n');
        self.line += lines;
        match result {
            DecoderResult::InputEmpty | DecoderResult::OutputFull => Ok(()),
            DecoderResult::Malformed(length, _) => {
                let at = self.read.saturating_sub(usize::from(length));
                let message = format!(
                    "the byte at offset {at}, line {}, is not {}; set the encoding that the file really has",
                    self.line, self.name
                );
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
        }
    }
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.fresh.is_empty() {
            if self.ended {
                return Ok(0);
            }
            self.fill()?;
        }
        let count = buffer.len().min(self.fresh.len());
        buffer[..count].copy_from_slice(&self.output[self.fresh.start..self.fresh.start + count]);
        self.fresh.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], encoding: &str) -> io::Result<String> {
        let mut text = String::new();
        let source = Box::new(io::Cursor::new(bytes.to_vec()));
        decoded(source, Encoding::of(encoding).unwrap())?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn encodings_are_decoded() {
        assert_eq!(read(b"Caf\xe9 \x80 5", "windows-1252").unwrap(), "Café € 5");
        assert_eq!(read("\u{feff}Çelik".as_bytes(), "utf-8").unwrap(), "Çelik");
        assert_eq!(read("Çelik".as_bytes(), "utf-8").unwrap(), "Çelik");
        assert_eq!(read(b"", "utf-8").unwrap(), "");
    }

    #[test]
    fn a_wrong_encoding_names_byte_and_line() {
        let error = read(b"a;b\n1;Caf\xe9\n", "utf-8").unwrap_err().to_string();
        assert!(error.contains("offset 9, line 2") && error.contains("UTF-8"), "{error}");
    }

    #[test]
    fn a_document_says_how_it_is_encoded() {
        let read = |bytes: &[u8]| -> io::Result<String> {
            let mut text = String::new();
            decoded_as_declared(Box::new(io::Cursor::new(bytes.to_vec())))?.read_to_string(&mut text)?;
            Ok(text)
        };
        let declared = b"<?xml version='1.0' encoding = 'ISO-8859-15'?><A>\xa4</A>";
        assert!(read(declared).unwrap().ends_with("<A>€</A>"));
        assert_eq!(read("<A>Çelik</A>".as_bytes()).unwrap(), "<A>Çelik</A>");
        let wide: Vec<u8> = "\u{feff}<A>Çelik</A>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read(&wide).unwrap(), "<A>Çelik</A>");
        assert_eq!(read(&wide[2..]).unwrap(), "<A>Çelik</A>");
        let left_behind = "<?xml version=\"1.0\" encoding=\"utf-16\"?><A>Ç</A>";
        assert_eq!(read(left_behind.as_bytes()).unwrap(), left_behind);
        let error = read(b"<?xml version='1.0' encoding='klingon'?><A/>").unwrap_err().to_string();
        assert!(error.contains("klingon"), "{error}");
    }

    #[test]
    fn a_text_is_written_whole_or_not_at_all() {
        let encoding = Encoding::of("windows-1252").unwrap();
        assert_eq!(encoding.bytes("Café €"), Ok(b"Caf\xe9 \x80".to_vec()));
        assert_eq!(encoding.bytes("Łódź"), Err('Ł'));
        assert!(encoding.writes() && Encoding::utf8().writes() && !Encoding::of("utf-16le").unwrap().writes());
    }

    #[test]
    fn gzip_is_unpacked_and_damage_is_an_error() {
        use std::io::Write as _;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all("Nr;Naam\n1;De Vries\n".repeat(500).as_bytes()).unwrap();
        let bytes = packer.finish().unwrap();
        assert_eq!(read(&bytes, "utf-8").unwrap().lines().count(), 1000);
        assert!(read(&bytes[..bytes.len() - 12], "utf-8").is_err());
    }
}
