//! What a shard counted since its boot.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counts since boot; the driver publishes them.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter by name.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Logins that got their Welcome.
    logins,
    /// Sessions taken over by a new connection of the same device.
    takeovers,
    /// Connections closed by the shard.
    closes,
    /// Sends taken from clients.
    sends,
    /// Sends refused here, before they went to an owner.
    rejected_here,
    /// Messages accepted as an owner, durable or not yet.
    accepted,
    /// Accepted frames sent to clients.
    acknowledged,
    /// Sends answered from the dedup memory or table.
    replayed,
    /// Sends refused as an owner.
    rejected_owner,
    /// Of those: INBOX_FULL.
    inbox_full,
    /// Of those: BUSY.
    busy,
    /// Envelopes forwarded to homes.
    forwarded,
    /// Mail to other shards.
    mails,
    /// Forwards that a home had already.
    forward_duplicates,
    /// Entries put into inboxes.
    taken,
    /// Deliver and Gap frames sent.
    delivered,
    /// Deliveries acknowledged by devices.
    acked,
    /// Entries that never needed a record.
    elided,
    /// Entries put into records.
    appended,
    /// Entries removed from records.
    removed,
    /// Gap entries made because an inbox was full.
    gaps_inbox_full,
    /// Gap entries made by expiry.
    gaps_expired,
    /// Devices detached.
    detached,
    /// Confirms sent as a home.
    confirms,
    /// Questions to the tables.
    loads,
    /// Questions that the tables could not answer.
    load_errors,
    /// Backpressure answered to the driver.
    backpressure,
    /// Connections closed as SLOW_CONSUMER.
    slow_consumers,
    /// Connections closed as HEARTBEAT_TIMEOUT.
    heartbeat_timeouts,
    /// Mail of another epoch, dropped.
    stale_mail,
    /// Mail answered NOT_OWNER.
    not_owner,
    /// Users, channels, conversations and recipients dropped from memory.
    evicted,
    /// Message ids dropped from memory: the tables know them.
    ids_forgotten,
}
