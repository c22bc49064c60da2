//! What kind of operation a KMS event name is.
//!
//! In: an event name. Out: its action class, whether the caller gets plaintext, and whether it can carry an encryption
//! context. One table of the 56 API operations and the four events KMS writes itself (API reference and "Logging AWS KMS
//! API calls with CloudTrail"), so that the SQL never lists event names to say "use" or "administration". Calls that only
//! look are `read` whatever they look at; `read_only` cannot say so, because KMS logs every cryptographic use as a read.
//! A name that is not in the table is a newer operation: `unknown`, and everything else about it is still normalized.

/// What one KMS operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// The value of `action_class`.
    pub(super) class: &'static str,
    /// The caller receives plaintext or a plaintext key.
    pub(super) reveals_plaintext: bool,
    /// The request can carry an encryption context: symmetric encryption and data keys.
    pub(super) takes_context: bool,
    /// The request can carry an attestation document (`Recipient`).
    pub(super) takes_attestation: bool,
}

const fn class(class: &'static str) -> Operation {
    Operation { class, reveals_plaintext: false, takes_context: false, takes_attestation: false }
}

const fn crypto(reveals_plaintext: bool, takes_context: bool, takes_attestation: bool) -> Operation {
    Operation { class: "crypto", reveals_plaintext, takes_context, takes_attestation }
}

/// The operation behind a KMS event name. The frequent ones come first: the match is a chain of comparisons.
pub(super) fn operation(event_name: &str) -> Operation {
    match event_name {
        "Decrypt" => crypto(true, true, true),
        "GenerateDataKey" => crypto(true, true, true),
        "Encrypt" => crypto(false, true, false),
        "GenerateDataKeyWithoutPlaintext" => crypto(false, true, false),
        "ReEncrypt" => crypto(true, true, false),
        "GenerateDataKeyPair" => crypto(true, true, true),
        "GenerateDataKeyPairWithoutPlaintext" => crypto(false, true, false),
        "DeriveSharedSecret" => crypto(true, false, true),
        "Decapsulate" => crypto(true, false, false),
        "GenerateRandom" => crypto(false, false, true),
        "Sign" | "Verify" | "GenerateMac" | "VerifyMac" | "Encapsulate" | "GetPublicKey" => crypto(false, false, false),
        "DescribeKey"
        | "ListKeys"
        | "ListAliases"
        | "ListGrants"
        | "ListRetirableGrants"
        | "GetKeyPolicy"
        | "ListKeyPolicies"
        | "ListResourceTags"
        | "GetKeyRotationStatus"
        | "ListKeyRotations"
        | "GetKeyLastUsage"
        | "DescribeCustomKeyStores" => class("read"),
        "CreateGrant" | "RetireGrant" | "RevokeGrant" => class("grant"),
        "CreateKey"
        | "DisableKey"
        | "EnableKey"
        | "ScheduleKeyDeletion"
        | "CancelKeyDeletion"
        | "UpdateKeyDescription"
        | "EnableKeyRotation"
        | "DisableKeyRotation"
        | "RotateKeyOnDemand"
        | "GetParametersForImport"
        | "ImportKeyMaterial"
        | "DeleteImportedKeyMaterial"
        | "DeleteKey"
        | "DeleteExpiredKeyMaterial"
        | "RotateKey" => class("lifecycle"),
        "PutKeyPolicy" => class("policy"),
        "CreateAlias" | "UpdateAlias" | "DeleteAlias" => class("alias"),
        "TagResource" | "UntagResource" => class("tag"),
        "ReplicateKey" | "UpdatePrimaryRegion" | "SynchronizeMultiRegionKey" => class("multi_region"),
        "CreateCustomKeyStore"
        | "ConnectCustomKeyStore"
        | "DisconnectCustomKeyStore"
        | "UpdateCustomKeyStore"
        | "DeleteCustomKeyStore" => class("key_store"),
        _ => class("unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_the_api_has_a_class() {
        // The 56 operations of the API model and the four events that KMS writes itself.
        let names = "CancelKeyDeletion ConnectCustomKeyStore CreateAlias CreateCustomKeyStore CreateGrant CreateKey Decapsulate \
            Decrypt DeleteAlias DeleteCustomKeyStore DeleteImportedKeyMaterial DeriveSharedSecret DescribeCustomKeyStores \
            DescribeKey DisableKey DisableKeyRotation DisconnectCustomKeyStore EnableKey EnableKeyRotation Encapsulate Encrypt \
            GenerateDataKey GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateDataKeyWithoutPlaintext GenerateMac \
            GenerateRandom GetKeyLastUsage GetKeyPolicy GetKeyRotationStatus GetParametersForImport GetPublicKey \
            ImportKeyMaterial ListAliases ListGrants ListKeyPolicies ListKeyRotations ListKeys ListResourceTags \
            ListRetirableGrants PutKeyPolicy ReEncrypt ReplicateKey RetireGrant RevokeGrant RotateKeyOnDemand \
            ScheduleKeyDeletion Sign TagResource UntagResource UpdateAlias UpdateCustomKeyStore UpdateKeyDescription \
            UpdatePrimaryRegion Verify VerifyMac RotateKey DeleteKey DeleteExpiredKeyMaterial SynchronizeMultiRegionKey";
        assert_eq!(names.split_whitespace().count(), 60);
        for name in names.split_whitespace() {
            assert_ne!(operation(name).class, "unknown", "{name}");
        }
    }

    #[test]
    fn only_what_gives_plaintext_reveals_plaintext() {
        for name in
            ["Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyPair", "DeriveSharedSecret", "Decapsulate"]
        {
            assert!(operation(name).reveals_plaintext, "{name}");
        }
        for name in
            ["Encrypt", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPairWithoutPlaintext", "Encapsulate", "Sign"]
        {
            assert!(!operation(name).reveals_plaintext, "{name}");
        }
    }

    #[test]
    fn names_that_only_resemble_an_operation_are_unknown() {
        // ReEncryptFrom and ReEncryptTo are IAM actions, which CloudTrail never writes as event names.
        for name in ["ReEncryptFrom", "ReEncryptTo", "decrypt", "Decrypt ", "", "BatchDecrypt"] {
            assert_eq!(operation(name), class("unknown"), "{name}");
        }
    }
}
