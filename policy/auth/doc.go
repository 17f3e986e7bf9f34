// Package auth puts the credential of an upstream into every attempt.
//
// A [Source] says what to inject, [Wrap] injects it:
//
//	retry(auth(circuit(limit(attempt(transport)))))
//
// Inside of retry, so that each attempt asks the Source again; outside of
// circuit and limit, so that a credential that cannot be had is never held
// against the upstream. Without a credential nothing is sent: the call ends
// with an [UnavailableError].
//
// # Secrets
//
// A [Secret] prints as REDACTED wherever it is printed. The request that
// carries it is a copy, and is not reachable from the response that is handed
// back. Errors of this package name the kind of a credential, never a value.
// Below this stage the request does carry the secret, in a header or in the
// query of its URL: who records requests there must leave both out.
package auth
