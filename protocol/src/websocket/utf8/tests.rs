//! Text in pieces of every size, against the standard library.
use super::Utf8;

fn verdict(bytes: &[u8], piece: usize) -> Result<bool, usize> {
    let mut text = Utf8::default();
    for (number, piece) in bytes.chunks(piece).enumerate() {
        text.push(piece).map_err(|_| number)?;
    }
    Ok(text.is_complete())
}

/// Proves: G-WS-1 (text is judged the same however it is cut)
/// Seen to fail when: a begin that is not complete is dropped with its piece.
#[test]
fn text_is_judged_the_same_in_pieces_of_any_size() {
    let texts = ["", "a", "κόσμε", "€", "𐍈", "\u{10ffff}", "aé€𐍈 aé€𐍈", "\u{7ff}\u{800}\u{ffff}\u{10000}"];
    for text in texts {
        for piece in 1..=text.len().max(1) {
            assert_eq!(verdict(text.as_bytes(), piece), Ok(true), "{text:?} in pieces of {piece}");
        }
        let (cut, _) = text.as_bytes().split_at(text.len().saturating_sub(1));
        if text.chars().last().is_some_and(|last| last.len_utf8() > 1) {
            assert_eq!(verdict(cut, 1), Ok(false), "{text:?} without its last byte");
        }
    }
}

/// Proves: G-WS-1 (a byte that spoils a text is noticed when it comes)
/// Seen to fail when: an error inside an incomplete character is left to the end.
#[test]
fn the_byte_that_spoils_a_text_is_noticed_when_it_comes() {
    let spoilt: [&[u8]; 14] = [
        &[0x80],
        &[0xbf],
        &[0xc0],
        &[0xc1],
        &[0xc3, 0x28],
        &[0xe0, 0x9f],
        &[0xe2, 0x82, 0x28],
        &[0xed, 0xa0],
        &[0xf0, 0x8f],
        &[0xf0, 0x90, 0x28],
        &[0xf0, 0x90, 0x8d, 0x28],
        &[0xf4, 0x90],
        &[0xf5],
        &[0xff],
    ];
    for bytes in spoilt {
        for before in ["", "a", "€"] {
            let all = [before.as_bytes(), bytes, b"never looked at"].concat();
            let bad = before.len() + bytes.len() - 1;
            assert_eq!(verdict(&all, 1), Err(bad), "{bytes:x?} behind {before:?}");
            assert!(verdict(&all, all.len()).is_err(), "{bytes:x?} behind {before:?} in one piece");
        }
    }
}

/// Seen to fail when: `keep_incomplete` calls every error the end of a piece.
#[test]
fn every_pair_of_bytes_is_judged_as_the_standard_library_does() {
    for first in 0..=255 {
        for second in 0..=255 {
            let bytes = [first, second];
            let whole = std::str::from_utf8(&bytes);
            let expected = match whole {
                Ok(_) => Some(true),
                Err(error) if error.error_len().is_none() => Some(false),
                Err(_) => None,
            };
            assert_eq!(verdict(&bytes, 1).ok(), expected, "{bytes:x?}");
        }
    }
}
