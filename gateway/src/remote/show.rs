//! Answers of the admin port for people.

use serde_json::Value;

/// Columns of `status`, as the figures are called.
const FIGURES: &[&str] = &["shard", "connections", "logins", "accepted", "delivered", "acked", "records"];

/// Ready or not, a line for each core, and the memory.
pub(super) fn status(checks: &[String], shards: &Value, memory: &Value) -> String {
    let mut rows = vec![FIGURES.iter().map(ToString::to_string).collect()];
    for shard in items(shards) {
        rows.push(FIGURES.iter().map(|name| word(&shard[*name])).collect());
    }
    let checks: String = checks.iter().flat_map(|check| [check.as_str(), "\n"]).collect();
    format!("{checks}{}{}", table(&rows), ledger(memory))
}

/// A line for each thing that memory is for, the largest first; nothing while the process starts.
fn ledger(memory: &Value) -> String {
    let Some(components) = memory["components"].as_object() else { return String::new() };
    let connections = memory["connections"].as_u64().unwrap_or(0);
    let row = |name: &str, bytes: &Value, connections: u64| {
        let bytes = bytes.as_u64().unwrap_or(0);
        let each = bytes.checked_div(connections).map_or_else(|| "-".to_owned(), |each| each.to_string());
        vec![name.to_owned(), format!("{:.1}", mib(bytes)), each]
    };
    let mut parts: Vec<(&String, &Value)> = components.iter().collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.as_u64()));
    let mut rows = vec![["memory", "MiB", "bytes a connection"].map(str::to_owned).to_vec()];
    rows.extend(parts.into_iter().map(|(name, bytes)| row(name, bytes, connections)));
    let totals = [
        ("other", "other_bytes"),
        ("resident", "resident_bytes"),
        ("kernel, for connections", "kernel_bytes"),
    ];
    rows.extend(totals.map(|(name, field)| row(name, &memory[field], connections)));
    rows.push(row("limit of these two", &memory["limit_bytes"], 0));
    format!("\n{}", table(&rows))
}

#[allow(clippy::cast_precision_loss, reason = "for people to look at")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A line for each connection.
pub(super) fn connections(answer: &Value) -> String {
    let head = ["shard", "conn", "phase", "user", "device", "in flight", "unsent bytes"];
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_owned).to_vec()];
    for row in items(&answer["connections"]) {
        let session = &row["session"];
        let cells = [
            &row["shard"],
            &row["conn"],
            &row["phase"],
            &session["user"],
            &session["device"],
            &session["in_flight"],
            &session["unsent_bytes"],
        ];
        rows.push(cells.map(word).to_vec());
    }
    let next = answer["next"].as_str().map(|next| format!("more: --from {next}\n")).unwrap_or_default();
    format!("{}{next}", table(&rows))
}

/// A line for each core and way, then one for each slow message: milliseconds, by stage.
pub(super) fn slow(answer: &Value) -> String {
    let stages: Vec<String> = items(&answer["stages"]).iter().map(word).collect();
    let by_stage = |row: &Value| -> Vec<String> { stages.iter().map(|stage| ms(&row[stage])).collect() };
    let head = ["shard", "way", "messages", "p50 ms", "p99 ms", "p99.9 ms"].map(str::to_owned);
    let mut lines = vec![[head.as_slice(), &stages].concat()];
    for line in items(&answer["lines"]) {
        let cells = [
            word(&line["shard"]),
            word(&line["way"]),
            word(&line["messages"]),
            ms(&line["p50_us"]),
            ms(&line["p99_us"]),
            ms(&line["p999_us"]),
        ];
        lines.push([cells.as_slice(), &by_stage(&line["mean_us"])].concat());
    }
    let head = ["message", "way", "shard", "ms"].map(str::to_owned);
    let mut rows = vec![[head.as_slice(), &stages].concat()];
    for row in items(&answer["slow"]) {
        let cells = [word(&row["message_id"]), word(&row["way"]), word(&row["shard"]), ms(&row["total_us"])];
        rows.push([cells.as_slice(), &by_stage(&row["stages_us"])].concat());
    }
    format!("{}\n{}", table(&lines), table(&rows))
}

/// Microseconds as milliseconds.
fn ms(us: &Value) -> String {
    us.as_f64().map_or_else(|| word(us), |us| format!("{:.3}", us / 1_000.0))
}

/// A user's inbox, and a line for each device.
pub(super) fn user(answer: &Value) -> String {
    let head = ["device", "connected", "acked through", "behind", "detached"];
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_owned).to_vec()];
    for device in items(&answer["devices"]) {
        let names = ["device", "connected", "acked_through", "behind", "detached"];
        rows.push(names.iter().map(|name| word(&device[*name])).collect());
    }
    let inbox = &answer["inbox"];
    format!(
        "user {} on shard {}: {} messages wait, {} bytes, last offset {}\n{}",
        word(&answer["user"]),
        word(&answer["shard"]),
        word(&inbox["entries"]),
        word(&inbox["bytes"]),
        word(&answer["last_offset"]),
        table(&rows)
    )
}

/// A line for each banned address.
pub(super) fn bans(answer: &Value) -> String {
    let mut rows = vec![vec!["address".to_owned(), "seconds left".to_owned()]];
    rows.extend(
        items(&answer["bans"]).iter().map(|ban| vec![word(&ban["address"]), word(&ban["ends_in_s"])]),
    );
    table(&rows)
}

/// What a revocation did.
pub(super) fn revoked(answer: &Value) -> String {
    let force = if answer["in_force"] == true {
        "no session lives by them any more"
    } else {
        "a busy core ends its sessions in a moment"
    };
    format!("revoked, number {}: {force}\n", word(&answer["serial"]))
}

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Columns as wide as their widest cell.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
