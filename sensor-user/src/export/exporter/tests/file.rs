//! The file.

use std::{fs, path::Path};

use super::*;

fn to_file(path: &Path) -> Exporter {
    Exporter::start(&ExportConfig {
        otlp_file: Some(path.to_owned()),
        queue: 10,
        queue_bytes: 64 << 20,
        ..ExportConfig::default()
    })
    .expect("start")
}

#[tokio::test]
async fn it_gets_every_signal() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("otlp.jsonl");
    let exporter = to_file(&path);
    exporter.alert(&record("A1"));
    exporter.metrics(vec![point(1)]);
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
    let text = fs::read_to_string(&path).expect("the file");
    let mut keys: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter_map(|value| value.as_object()?.keys().next().cloned())
        .collect();
    keys.sort();
    assert_eq!(keys, ["resourceLogs", "resourceMetrics", "resourceSpans"]);
    assert!(!text.contains("null"), "OTLP JSON knows no null: {text}");
}

#[tokio::test]
async fn a_full_disk_keeps_alerts_waiting() {
    let exporter = to_file(Path::new("/dev/full"));
    exporter.alert(&record("A"));
    for _ in 0..100 {
        if exporter.health()[0].counts.failed > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let [logs, ..] = exporter.health();
    assert_eq!((logs.counts.dropped, logs.waiting), (0, 1));
    assert!(logs.counts.failed > 0);
    let left = exporter.shutdown(Duration::from_millis(100)).await;
    assert_eq!((left.alerts, left.traces, left.batches), (1, 1, 0));
}

#[tokio::test]
async fn it_goes_on_when_there_is_room_again() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("otlp.jsonl");
    // Moved over a device that is always full, and back: a new file each time, as after a rotation.
    std::os::unix::fs::symlink("/dev/full", &path).expect("link");
    let exporter = to_file(&path);
    exporter.alert(&record("A"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    fs::remove_file(&path).expect("remove");
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
    let text = fs::read_to_string(&path).expect("the file");
    assert_eq!(text.lines().count(), 2, "{text}");
}
