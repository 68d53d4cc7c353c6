use super::*;

/// Proves: G-ORDER-1 (a Send goes into the conversation that it names, also when the last one's is compared without parsing)
/// Seen to fail when: `is_pair` does not compare lengths, or takes none for the same.
#[test]
fn a_conversation_is_the_pair_of_its_members_and_of_nobody_else() {
    let ids = ["0", "0b", "alice", "b", "bob", "bobo", "o", "ob"];
    let user = |id: &str| UserId::parse(id).unwrap();
    for one in ids {
        for other in ids {
            let conversation = ConversationId::direct(&user(one), &user(other)).to_string();
            for sender in [one, other] {
                for to in ids.into_iter().chain([":b", ":bob", ""]) {
                    let same = if sender == one { other } else { one };
                    assert_eq!(
                        is_pair(&conversation, sender, to),
                        to == same,
                        "{conversation} {sender} {to}"
                    );
                }
            }
        }
    }
}
