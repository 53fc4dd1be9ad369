//! A segment of the usage ledger, as a disk may have left it.

use synapse_validator::ledger::{Row, read_segment, write_csv};

/// Bytes of a segment's file. Where the first byte is odd, the rest is rows, each behind its length, and the header and
/// the checksums are made for them: or nearly nothing would get past those.
pub fn ledger_segment(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    if choice % 2 == 0 {
        return read(data);
    }
    let mut segment = header();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first() {
        let (row, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        if !row.is_empty() {
            frame(&mut segment, row);
        }
    }
    read(&segment);
    // As a disk that was cut off leaves it.
    read(&segment[..segment.len() - segment.len() / 3]);
}

fn read(segment: &[u8]) {
    match read_segment(segment) {
        Ok(rows) => {
            for row in &rows {
                shown(row);
            }
        }
        Err(error) => assert!(
            matches!(error.code(), "ledger_corrupt" | "ledger_newer"),
            "{error:?}"
        ),
    }
}

/// Whatever a row says, it is shown.
fn shown(row: &Row) {
    let json = serde_json::to_string(row).expect("a row is JSON");
    assert!(json.contains("\"entry\""));
    let mut line = Vec::new();
    write_csv(&mut line, row).expect("a vector takes all");
    assert!(line.ends_with(b"\r\n"));
}

fn header() -> Vec<u8> {
    let mut bytes = b"synledg\n".to_vec();
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    let sum = crc32fast::hash(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

fn frame(segment: &mut Vec<u8>, row: &[u8]) {
    let position = segment.len() as u64;
    let length = u32::try_from(row.len()).expect("a byte says how long it is");
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(row);
    segment.extend(length.to_le_bytes());
    segment.extend(hasher.finalize().to_le_bytes());
    segment.extend(row);
}
