//! Whether a key was used from inside an attested environment.
//!
//! In: `additionalEventData.recipient`, which KMS writes when the caller sent an attestation document (Nitro Enclaves,
//! NitroTPM). Out: the attestation columns. With such a document the plaintext goes only to that environment. PCR values
//! are hexadecimal in old records and base64 in new ones; an enclave in debug mode has PCRs of zeros, and its memory can
//! be read from outside. The image is not judged here: what is a good one is the user's to say.

use super::class::Operation;
use super::fields::Fields;
use crate::schema::Event;

/// PCR0 of an enclave, by the name the records give it.
const IMAGE_DIGEST: &str = "attestationDocumentEnclaveImageDigest";

/// Sets the attestation columns.
pub(super) fn apply<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>, operation: Operation) {
    let recipient = fields.additional.get("recipient");
    if recipient.members().is_empty() {
        event.attested = operation.takes_attestation.then_some(false);
        return;
    }
    event.attested = Some(true);
    event.attestation_image_digest = recipient.get(IMAGE_DIGEST).text();
    // A NitroTPM document has other PCRs, which say nothing about a debug mode.
    let registers = [IMAGE_DIGEST, "attestationDocumentEnclavePCR1", "attestationDocumentEnclavePCR2"];
    let mut values = registers.iter().filter_map(|name| recipient.get(name).as_str()).peekable();
    if values.peek().is_some() {
        event.attestation_is_debug = Some(values.all(is_zero));
    }
}

/// True for zeros in hexadecimal (`000...`) or base64 (`AAA...=`).
fn is_zero(register: &str) -> bool {
    let digits = register.trim_end_matches('=');
    !digits.is_empty() && (digits.bytes().all(|byte| byte == b'0') || digits.bytes().all(|byte| byte == b'A'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::normalize::class::operation;

    fn attest(recipient: &str, event_name: &str) -> (Option<bool>, Option<bool>) {
        let record = format!(r#"{{"additionalEventData":{{"recipient":{recipient}}}}}"#);
        let value = json::parse(&record).unwrap();
        let mut event = Event::default();
        apply(&mut event, &Fields::of(&value), operation(event_name));
        (event.attested, event.attestation_is_debug)
    }

    #[test]
    fn zeros_mean_debug_mode_in_both_encodings() {
        let zeros = "0".repeat(96);
        let base64 = "A".repeat(64);
        for (recipient, expected) in [
            (format!(r#"{{"{IMAGE_DIGEST}":"{zeros}"}}"#), Some(true)),
            (format!(r#"{{"{IMAGE_DIGEST}":"{base64}","attestationDocumentEnclavePCR1":"{base64}"}}"#), Some(true)),
            (format!(r#"{{"{IMAGE_DIGEST}":"{zeros}","attestationDocumentEnclavePCR2":"01"}}"#), Some(false)),
            (format!(r#"{{"{IMAGE_DIGEST}":"ee0d451a"}}"#), Some(false)),
            (r#"{"attestationDocumentModuleId":"i-1-tpm0","attestationDocumentNitroTPMPCR4":"AAAA"}"#.into(), None),
        ] {
            assert_eq!(attest(&recipient, "Decrypt"), (Some(true), expected), "{recipient}");
        }
    }

    #[test]
    fn absence_is_told_only_where_a_document_could_have_been() {
        assert_eq!(attest("null", "Decrypt"), (Some(false), None));
        assert_eq!(attest("{}", "GenerateRandom"), (Some(false), None));
        assert_eq!(attest("null", "Encrypt"), (None, None));
        assert_eq!(attest("null", "CreateGrant"), (None, None));
    }
}
