//! What a broker says of itself before anybody logs in: its product and version.
//!
//! The client library keeps that to itself, so the first frame is read by hand.
//! <https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, 1.4.2 (`connection.start`)

use amq_protocol::frame::{AMQPFrame, parse_frame};
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use lapin::protocol::{AMQPClass, connection};
use lapin::tcp::AMQPUriTcpExt as _;
use lapin::types::{AMQPValue, FieldTable};

use super::super::QueueError;
use super::PATIENCE;
use super::link::Address;

/// The frame is some hundred bytes; no broker needs more.
const LONGEST: usize = 64 << 10;

/// What a broker says of itself.
pub(super) async fn version(address: &Address) -> Result<String, QueueError> {
    let read = tokio::time::timeout(PATIENCE, read(address)).await;
    match read.map_err(|_| QueueError::late("the broker's greeting"))? {
        Ok(Some(version)) => Ok(version),
        Ok(None) => Err(QueueError::Unavailable(format!(
            "what answers at {address:?} is no RabbitMQ broker; look at host and port"
        ))),
        Err(error) => Err(QueueError::Unavailable(format!("{address:?} cannot be reached: {error}"))),
    }
}

/// Reads the greeting; nothing where what comes is none.
async fn read(address: &Address) -> std::io::Result<Option<String>> {
    let runtime = lapin::runtime::default_runtime().map_err(std::io::Error::other)?;
    let (uri, tls) = (address.uri(), address.tls());
    let mut stream = uri.connect_with_config_async(tls.as_ref(), &runtime).await?;
    stream.write_all(b"AMQP\0\0\x09\x01").await?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).await?;
        bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if let Ok((_, frame)) = parse_frame(bytes.as_slice()) {
            return Ok(told(frame));
        }
        if read == 0 || bytes.len() > LONGEST {
            return Ok(None);
        }
    }
}

fn told(frame: AMQPFrame) -> Option<String> {
    let AMQPFrame::Method(_, AMQPClass::Connection(connection::AMQPMethod::Start(start))) = frame else { return None };
    let text = |name| text(&start.server_properties, name);
    Some(format!("{} {}", text("product")?, text("version")?))
}

fn text(table: &FieldTable, name: &str) -> Option<String> {
    match table.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}
