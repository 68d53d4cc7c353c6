//! What keys mean.

use super::meaning;
use crate::remote::top::watch::Key;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Seen to fail when: `meaning` does not look at Control, or takes a release for a press.
#[test]
fn keys_mean_what_the_last_line_says() {
    let plain = |code| meaning(KeyEvent::new(code, KeyModifiers::NONE));
    let control = |letter| meaning(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL));
    for key in [plain(KeyCode::Char('q')), plain(KeyCode::Esc), control('c')] {
        assert_eq!(key, Some(Key::Leave));
    }
    assert_eq!((plain(KeyCode::Char('c')), control('q'), control('p')), (None, None, None));
    assert_eq!(plain(KeyCode::Char('p')), Some(Key::Pause));
    assert_eq!(plain(KeyCode::Char(' ')), Some(Key::Pause));
    assert_eq!(plain(KeyCode::Char('r')), Some(Key::Reverse));
    assert_eq!((plain(KeyCode::Left), plain(KeyCode::Right)), (Some(Key::Left), Some(Key::Right)));
    assert_eq!((plain(KeyCode::Up), plain(KeyCode::Down)), (Some(Key::Up), Some(Key::Down)));
    let release = KeyEvent { kind: KeyEventKind::Release, ..KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE) };
    assert_eq!(meaning(release), None);
}
