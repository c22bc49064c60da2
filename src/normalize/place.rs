//! Where a call came from.
//!
//! In: `sourceIPAddress` and its neighbors. Out: the address or the service name, never one as the other: the field holds
//! an IPv4 or IPv6 address, a service's DNS name, `AWS Internal`, or `AWS Internal/3`. The network is the one that
//! addresses of one office or cloud range share, so that a new address next door is no new place.

use super::fields::Fields;
use crate::schema::{Event, Text};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Sets the columns about the place.
pub(super) fn apply<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>) {
    event.user_agent = fields.user_agent.text();
    event.vpc_endpoint_id = fields.vpc_endpoint_id.text();
    event.tls_version = fields.tls_details.get("tlsVersion").text();
    event.tls_host =
        fields.tls_details.get("clientProvidedHostHeader").text().filter(|host| !is_public_endpoint(host, event));
    event.tls_key_exchange = fields.tls_details.get("keyExchange").text();
    let Some(source) = fields.source_address.text() else { return };
    match source.parse() {
        Ok(address) => {
            event.network = network(address);
            event.source_ip = Some(source);
        }
        Err(_) => event.source_service = Some(source),
    }
}

/// True for `kms.us-east-1.amazonaws.com` on a call of KMS in us-east-1, whatever the service and the partition's domain.
fn is_public_endpoint(host: &str, event: &Event<'_>) -> bool {
    let (Some(source), Some(region)) = (event.event_source.as_deref(), event.region.as_deref()) else { return false };
    let service = source.split('.').next().unwrap_or_default();
    let rest = host.strip_prefix(service).and_then(|rest| rest.strip_prefix('.'));
    let rest = rest.and_then(|rest| rest.strip_prefix(region)).and_then(|rest| rest.strip_prefix('.'));
    rest.is_some_and(|domain| domain.starts_with("amazonaws.") || domain == "api.aws")
}

/// The /24 of an IPv4 address, the /48 of an IPv6 one.
fn network<'a>(address: IpAddr) -> Text<'a> {
    Some(Cow::Owned(match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{}/24", Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn an_address_is_not_a_service_and_a_service_no_address() {
        for (source, ip, service, network) in [
            ("192.0.2.17", Some("192.0.2.17"), None, Some("192.0.2.0/24")),
            ("2001:db8:1:2::3", Some("2001:db8:1:2::3"), None, Some("2001:db8:1::/48")),
            ("::ffff:192.0.2.1", Some("::ffff:192.0.2.1"), None, Some("192.0.2.0/24")),
            ("secretsmanager.amazonaws.com", None, Some("secretsmanager.amazonaws.com"), None),
            ("AWS Internal/3", None, Some("AWS Internal/3"), None),
            ("192.0.2.300", None, Some("192.0.2.300"), None),
            ("", None, None, None),
        ] {
            let record = format!("{{\"sourceIPAddress\":\"{source}\"}}");
            let value = json::parse(&record).unwrap();
            let mut event = Event::default();
            apply(&mut event, &Fields::of(&value));
            let found = (event.source_ip.as_deref(), event.source_service.as_deref(), event.network.as_deref());
            assert_eq!(found, (ip, service, network), "{source}");
        }
    }
}
