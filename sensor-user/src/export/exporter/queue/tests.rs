use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};

use super::*;

fn queue_of(messages: usize) -> Queue {
    Queue::new(Bounds {
        messages,
        bytes: 1 << 30,
    })
}

fn alert() -> (Arc<Message>, Arc<Message>) {
    (
        Arc::new(Message::Logs(ExportLogsServiceRequest::default())),
        Arc::new(Message::Traces(ExportTraceServiceRequest::default())),
    )
}

fn sketches() -> Arc<Message> {
    Arc::new(Message::Records(ExportLogsServiceRequest::default()))
}

fn batch(size: usize) -> Vec<Arc<Message>> {
    (0..size)
        .map(|_| Arc::new(Message::Metrics(ExportMetricsServiceRequest::default())))
        .collect()
}

/// Takes the next message, which is this one.
async fn takes(queue: &Queue, message: &Arc<Message>) {
    let found = queue.next(message.signal()).await.expect("a message");
    assert!(Arc::ptr_eq(&found, message));
}

fn dropped(queue: &Queue) -> [u64; SIGNALS] {
    Signal::ALL.map(|signal| queue.counts(signal).dropped)
}

#[tokio::test]
async fn a_batch_that_is_begun_is_finished_before_the_newest() {
    let queue = queue_of(10);
    let (first, second, third) = (batch(2), batch(1), batch(1));
    queue.metrics(&first);
    takes(&queue, &first[0]).await;
    queue.metrics(&second);
    queue.delivered(Signal::Metrics, 0);
    queue.metrics(&third);
    takes(&queue, &first[1]).await;
    queue.delivered(Signal::Metrics, 0);
    takes(&queue, &third[0]).await;
    queue.delivered(Signal::Metrics, 0);
    assert_eq!(queue.left(Duration::ZERO), Undelivered::default());
    assert_eq!(dropped(&queue), [0; SIGNALS]);
}

#[tokio::test]
async fn after_a_failure_the_newest_batch_comes_first() {
    let queue = queue_of(10);
    let (first, second) = (batch(3), batch(2));
    queue.metrics(&first);
    takes(&queue, &first[0]).await;
    queue.delivered(Signal::Metrics, 0);
    takes(&queue, &first[1]).await;
    queue.metrics(&second);
    queue.failed(Signal::Metrics);
    takes(&queue, &second[0]).await;
    queue.failed(Signal::Metrics);
    let third = batch(1);
    queue.metrics(&third);
    takes(&queue, &third[0]).await;
    assert_eq!(queue.left(Duration::ZERO).batches, 1);
}

#[tokio::test]
async fn what_is_under_way_is_not_dropped() {
    let queue = queue_of(2);
    let alerts = [alert(), alert(), alert(), alert()];
    let add = |at: usize| queue.alert(alerts[at].0.clone(), alerts[at].1.clone());
    assert_eq!(add(0), 0);
    takes(&queue, &alerts[0].0).await;
    takes(&queue, &alerts[0].1).await;
    for at in 1..4 {
        assert_eq!(add(at), 1, "there is no room for another one");
    }
    assert_eq!(dropped(&queue), [3, 3, 0, 0]);
    queue.delivered(Signal::Logs, 0);
    queue.delivered(Signal::Traces, 0);
    assert_eq!(queue.left(Duration::ZERO), Undelivered::default());
}

/// Whatever happens, an alert goes only when nothing of less worth waits, and each message is delivered, dropped or
/// left.
#[tokio::test]
async fn no_alert_is_dropped_while_anything_else_waits() {
    let mut state = 7u64;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for bound in [2, 3, 8, 20] {
        let queue = queue_of(bound);
        let mut in_flight = [false; SIGNALS];
        let (mut added, mut delivered) = (0, 0);
        for _ in 0..2000 {
            let signal = Signal::ALL[random(4) as usize];
            match random(4) {
                0 if random(2) == 0 => queue.records(sketches()),
                0 => queue.metrics(&batch(1 + random(5) as usize)),
                1 | 2 if in_flight[signal as usize] => {
                    in_flight[signal as usize] = false;
                    if random(2) == 0 {
                        queue.failed(signal);
                    } else {
                        queue.delivered(signal, 0);
                        delivered += u64::from(signal == Signal::Logs);
                    }
                }
                1 | 2 if queue.waiting(signal) > 0 => {
                    in_flight[signal as usize] = queue.next(signal).await.is_some();
                }
                _ => {
                    let (log, trace) = alert();
                    added += 1;
                    let gone = queue.alert(log, trace);
                    let spared = |signal: Signal| u64::from(in_flight[signal as usize]);
                    if gone > 0 {
                        for other in [Signal::Traces, Signal::Metrics, Signal::Records] {
                            assert_eq!(queue.waiting(other), spared(other), "{other}");
                        }
                    }
                    let waiting: u64 = Signal::ALL.map(|signal| queue.waiting(signal)).iter().sum();
                    assert!(waiting <= (bound as u64).max(4), "{waiting}");
                }
            }
        }
        let lost = queue.counts(Signal::Logs).dropped;
        assert_eq!(added, delivered + lost + queue.left(Duration::ZERO).alerts);
        assert!(lost > 0 && delivered > 0);
    }
}

/// Metrics that do not come again wait in their order, before those that do.
#[tokio::test]
async fn differences_are_kept_in_order() {
    let queue = queue_of(10);
    let (first, second, cumulative) = (batch(1), batch(1), batch(1));
    queue.metrics(&cumulative);
    queue.differences(&first);
    takes(&queue, &first[0]).await;
    queue.differences(&second);
    queue.failed(Signal::Metrics);
    takes(&queue, &first[0]).await;
    queue.metrics(&cumulative);
    queue.delivered(Signal::Metrics, 0);
    takes(&queue, &second[0]).await;
    queue.delivered(Signal::Metrics, 0);
    takes(&queue, &cumulative[0]).await;
    queue.delivered(Signal::Metrics, 0);
    assert_eq!(queue.left(Duration::ZERO), Undelivered::default());
    assert_eq!(dropped(&queue), [0; SIGNALS]);
}

#[tokio::test]
async fn the_bound_is_in_bytes_too() {
    use crate::export::{AlertRecord, otlp::Messages};

    let messages = Messages::new(&[]);
    let record = AlertRecord::for_tests("A");
    let log = Arc::new(Message::Logs(messages.alert(&record)));
    let trace = Arc::new(Message::Traces(messages.trace(&record)));
    let queue = Queue::new(Bounds {
        messages: 1000,
        bytes: 10 * log.encoded_len(),
    });
    for _ in 0..20 {
        queue.alert(log.clone(), trace.clone());
    }
    assert_eq!(dropped(&queue), [10, 20, 0, 0]);
    assert_eq!(queue.waiting(Signal::Logs), 10);
    while queue.waiting(Signal::Logs) > 0 {
        takes(&queue, &log).await;
        queue.delivered(Signal::Logs, 0);
    }
    assert_eq!(queue.lock().bytes, 0);
}
