//! Cutting frames at every byte.
use super::FrameReader;
use iris_protocol::frame::FrameError;

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

fn cut(reader: &mut FrameReader, mut input: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some(body) = reader.next(&mut input, 1000).unwrap() {
        bodies.push(body.bytes().to_vec());
    }
    assert!(input.is_empty(), "input is used up before None");
    bodies
}

/// Seen to fail when: `fill` drops what it does not take.
#[test]
fn frames_are_the_same_wherever_the_stream_is_split() {
    let stream: Vec<u8> = [framed(b"one"), framed(b"t"), framed(&[7; 300])].concat();
    for first in 0..stream.len() {
        for second in (first..stream.len()).step_by(7) {
            let mut reader = FrameReader::default();
            let mut bodies = cut(&mut reader, &stream[..first]);
            bodies.extend(cut(&mut reader, &stream[first..second]));
            bodies.extend(cut(&mut reader, &stream[second..]));
            assert_eq!(
                bodies,
                [b"one".to_vec(), b"t".to_vec(), vec![7; 300]],
                "split at {first} and {second}"
            );
            assert!(reader.is_idle());
        }
    }
}

/// Seen to fail when: `body_length` is asked with `usize::MAX` instead of the limit.
#[test]
fn an_oversized_length_is_refused_before_memory_is_taken() {
    for length in [0_u32, 1001, 1 << 31, u32::MAX] {
        let mut reader = FrameReader::default();
        let mut input: &[u8] = &length.to_be_bytes();
        let refused = reader.next(&mut input, 1000);
        assert!(matches!(refused, Err(FrameError::Length { .. })), "{length}: {refused:?}");
        let mut split = FrameReader::default();
        let prefix = length.to_be_bytes();
        assert_eq!(split.next(&mut &prefix[..2], 1000), Ok(None));
        assert!(split.next(&mut &prefix[2..], 1000).is_err());
        assert!(split.partial.capacity() < 64, "no memory for a refused frame");
    }
}
