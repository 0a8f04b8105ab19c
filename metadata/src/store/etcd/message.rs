//! etcd's requests and answers as its JSON gateway writes them: keys and values in base64, 64-bit numbers as text, zeros
//! left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A key or value: text here, base64 on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        String::from_utf8(bytes).map(Self).map_err(D::Error::custom)
    }
}

/// A 64-bit number: text on the wire, or a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub(super) i64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let number = match &value {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        };
        number.map(Self).ok_or_else(|| D::Error::custom(format!("{value} is no number")))
    }
}

/// What every answer begins with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    /// The store's revision when it answered.
    pub(super) revision: Number,
}

/// A key and what is under it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct KeyValue {
    pub(super) key: Text,
    pub(super) value: Text,
    /// The revision that wrote it last.
    pub(super) mod_revision: Number,
    /// The lease that it ends with; 0 for none.
    pub(super) lease: Number,
}

/// Reads a key, or all from it up to another one.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct RangeRequest {
    pub(super) key: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) range_end: Option<Text>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) limit: Number,
    /// As it was at this revision; 0 is now.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) revision: Number,
}

/// The answer to [`RangeRequest`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RangeResponse {
    pub(super) header: Header,
    pub(super) kvs: Vec<KeyValue>,
    pub(super) more: bool,
}

/// Writes a key.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PutRequest {
    pub(super) key: Text,
    pub(super) value: Text,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) lease: Number,
}

/// Removes a key, or all from it up to another one.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DeleteRequest {
    pub(super) key: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) range_end: Option<Text>,
}

/// A condition of a transaction: a key's revision is this, or, for [`Compare::exists`], not 0.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Compare {
    key: Text,
    result: &'static str,
    target: &'static str,
    mod_revision: Number,
}

impl Compare {
    /// The key was written last at this revision; 0: there is no such key.
    pub(super) fn unchanged(key: String, revision: Number) -> Self {
        Self { key: Text(key), result: "EQUAL", target: "MOD", mod_revision: revision }
    }

    /// There is such a key.
    pub(super) fn exists(key: String) -> Self {
        Self { key: Text(key), result: "GREATER", target: "MOD", mod_revision: Number(0) }
    }
}

/// One step of a transaction.
#[derive(Debug, Clone, Serialize)]
pub(super) enum Operation {
    #[serde(rename = "request_range")]
    Range(RangeRequest),
    #[serde(rename = "request_put")]
    Put(PutRequest),
    #[serde(rename = "request_delete_range")]
    Delete(DeleteRequest),
}

impl Operation {
    /// Writes a key.
    pub(super) fn put(key: String, value: String) -> Self {
        Self::Put(PutRequest { key: Text(key), value: Text(value), lease: Number(0) })
    }

    /// Writes a key that ends with a lease.
    pub(super) fn put_with_lease(key: String, value: String, lease: Number) -> Self {
        Self::Put(PutRequest { key: Text(key), value: Text(value), lease })
    }

    /// Removes a key.
    pub(super) fn delete(key: String) -> Self {
        Self::Delete(DeleteRequest { key: Text(key), range_end: None })
    }

    /// Removes every key that begins so.
    pub(super) fn delete_all(prefix: &str) -> Self {
        let range_end = Some(Text(end_of(prefix)));
        Self::Delete(DeleteRequest { key: Text(prefix.to_owned()), range_end })
    }

    /// Reads a key.
    pub(super) fn get(key: String) -> Self {
        Self::Range(RangeRequest { key: Text(key), ..RangeRequest::default() })
    }
}

/// A transaction: when all comparisons hold, one list of operations, else the other.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct TxnRequest {
    pub(super) compare: Vec<Compare>,
    pub(super) success: Vec<Operation>,
    pub(super) failure: Vec<Operation>,
}

/// The answer to [`TxnRequest`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TxnResponse {
    pub(super) header: Header,
    pub(super) succeeded: bool,
    responses: Vec<OperationResponse>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OperationResponse {
    response_range: Option<RangeResponse>,
}

impl TxnResponse {
    /// What the operation at this place has read of its one key.
    pub(super) fn read(&self, place: usize) -> Option<&KeyValue> {
        self.responses.get(place)?.response_range.as_ref()?.kvs.first()
    }
}

/// Asks for a lease of so many seconds.
#[derive(Debug, Serialize)]
pub(super) struct LeaseGrantRequest {
    #[serde(rename = "TTL")]
    pub(super) seconds: Number,
}

/// The answer to [`LeaseGrantRequest`], and, within `result`, to [`LeaseRequest`] as a keep-alive.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LeaseResponse {
    #[serde(rename = "ID")]
    pub(super) id: Number,
    /// 0 when the lease is over.
    #[serde(rename = "TTL")]
    pub(super) seconds: Number,
}

/// Names a lease, to keep it alive or to give it back.
#[derive(Debug, Serialize)]
pub(super) struct LeaseRequest {
    #[serde(rename = "ID")]
    pub(super) id: Number,
}

/// A line of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct Streamed<T> {
    pub(super) result: Option<T>,
    pub(super) error: Option<serde_json::Value>,
}

/// Asks to be told of a key's changes from a revision on.
#[derive(Debug, Serialize)]
pub(super) struct WatchRequest {
    pub(super) create_request: WatchCreate,
}

/// See [`WatchRequest`].
#[derive(Debug, Serialize)]
pub(super) struct WatchCreate {
    pub(super) key: Text,
    pub(super) start_revision: Number,
}

/// What a watch tells.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WatchResponse {
    pub(super) canceled: bool,
    /// When the revision asked for is gone: the oldest one that is there.
    pub(super) compact_revision: Number,
    pub(super) cancel_reason: String,
    pub(super) events: Vec<Event>,
}

/// One change.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    pub(super) kv: KeyValue,
}

/// Who asks.
#[derive(Serialize)]
pub(super) struct AuthenticateRequest<'a> {
    pub(super) name: &'a str,
    pub(super) password: &'a str,
}

/// What to send with each request from then on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthenticateResponse {
    pub(super) token: String,
}

/// What the gateway answers instead.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    pub(super) error: String,
    /// gRPC's number of it.
    pub(super) code: u32,
}

/// The key after all that begin with `prefix`.
pub(super) fn end_of(prefix: &str) -> String {
    let mut end = prefix.to_owned();
    let last = end.pop().expect("prefixes end in a slash");
    end.push(char::from_u32(u32::from(last) + 1).expect("a slash has a follower"));
    end
}

fn is_zero(number: &Number) -> bool {
    number.0 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_as_the_gateway_reads_them() {
        let request = TxnRequest {
            compare: vec![Compare::unchanged("a".to_owned(), Number(3))],
            success: vec![Operation::put("a".to_owned(), "é".to_owned())],
            failure: vec![Operation::delete_all("a/")],
        };
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"compare":[{"key":"YQ==","result":"EQUAL","target":"MOD","mod_revision":"3"}],"success":[{"request_put":{"key":"YQ==","value":"w6k="}}],"failure":[{"request_delete_range":{"key":"YS8=","range_end":"YTA="}}]}"#
        );
    }

    #[test]
    fn answers_are_read_with_zeros_left_out() {
        let answer: TxnResponse = serde_json::from_str(
            r#"{"header":{"revision":"7"},"responses":[{"response_put":{}},{"response_range":{"kvs":[{"key":"YQ==","mod_revision":"5"}]}}]}"#,
        )
        .unwrap();
        assert!(!answer.succeeded && answer.header.revision == Number(7));
        assert!(answer.read(0).is_none());
        let read = answer.read(1).unwrap();
        assert_eq!((read.key.0.as_str(), read.value.0.as_str()), ("a", ""));
        assert_eq!(read.mod_revision, Number(5));
    }
}
