// Package intercept is the local certificate authority: it makes the
// certificates by which Outrider can terminate the TLS of calls to configured
// hosts, and the files by which clients come to trust them.
//
//	root (10 years) → issuer (1 year, constrained to names) → leaf (24 hours, one host)
//
// # What is kept where
//
// Everything is in the state directory, which is the caller's to choose:
//
//	ca/root.pem             the root certificate
//	ca/root.key             its key; may be moved away, see below
//	ca/issuer.pem           the issuer's certificate and key, in one file so that a pair cannot be torn
//	trust/root.pem          the root certificate, for everybody to read
//	trust/bundle.pem        the system's roots and ours: SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, …
//	trust/certs/HASH.0      our root under OpenSSL's name for it: SSL_CERT_DIR
//	trust/truststore.p12    the system's roots and ours: javax.net.ssl.trustStore, with its password
//	trust/with-*/           the same two for callers who name other roots than the system's
//
// Leaves and their key are in memory only. Every file is replaced by renaming a
// complete one onto it; the directory ca is made complete under another name
// and renamed as well, so that processes that start together agree on one root.
//
// # Why a root and an issuer
//
// Whoever trusts a certificate authority trusts its key with every name there
// is. So the root, which clients trust, does no daily work: it signs issuers,
// and an issuer is constrained (RFC 5280 §4.2.1.10, critical) to the names that
// are configured. A stolen issuer.pem impersonates api.github.com, if that is
// configured, to the clients of this machine, but not their bank. root.key is
// read only when an issuer has to be made: for the first time, when the names
// change, and when two thirds of an issuer's year are over. In between it can
// be kept offline; an issuer that still fits is used without it. The root
// itself is unconstrained, so that it stays when the names change, and nobody
// has to trust a new one.
//
// The form of the constraints is what OpenSSL, GnuTLS, NSS, Java and crypto/x509
// agree on: "api.github.com" for a host and ".myshopify.com" for
// "*.myshopify.com", which permits all names below the domain and not the
// domain itself. X.509 has no form for a host without the names below it, so a
// constraint to api.github.com lets x.api.github.com pass; an [Issuer] refuses
// that itself. Where no address is configured all addresses are excluded, where
// no name is configured only outrider.invalid is permitted.
//
// A client that does not know the extension has to refuse the chain, because it
// is critical. A client that ignores it regardless works, and has just not the
// protection: to such a client a stolen issuer key is as bad as a stolen root.
//
// # Leaves
//
// All leaves of an issuer share one key, which is made when we start. A key of
// its own would add a tenth to what minting a leaf costs, and would protect
// nothing: they would all lie in the same memory, for the same time.
//
// # The system's store
//
// Clients are mostly told per process, by environment variables that name the
// files in trust. Programs that look at nothing but the system's store need
// [Authority.TrustPlan], which copies one file and runs the system's own
// command. It is done here and not by a library because that is all there is to
// it: what the libraries have beyond it is for browsers, which are no clients of
// ours, and for Java, which has a file of its own here.
package intercept
