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
// # Placeholders
//
// A program that is not trusted with the key holds a text that stands for it. With
// the kind [Placeholder] the request gets the key wherever the caller wrote that
// text: in the value of any header field, inside the base64 of Authorization:
// Basic, and in the values of the query, raw or percent-encoded. Nothing else of
// the request is changed, and one without the text goes out as it is. Bodies are
// not looked at: they stream, their length has been announced, and they may be
// signed. Nor are trailers.
//
// # Responses
//
// Where the header or the trailers of a response show the secret that its request
// carried, as it is or percent-encoded, they get the placeholder: so the key does
// not come back from a provider that repeats what it was sent, such as in a
// Location. For basic that is the base64, and the password, or the user name where
// there is no password. A secret of fewer than 8 bytes is not looked for, since it
// would be found by chance. Bodies pass byte for byte: who must not learn the key
// must not be able to call a provider that shows it there.
//
// # Secrets
//
// A [Secret] prints as REDACTED wherever it is printed. The request that
// carries it is a copy, and is not reachable from the response that is handed
// back. Errors of this package name the kind of a credential, never a value.
// Below this stage the request does carry the secret, in a header or in the
// query of its URL: who records requests there must leave both out.
package auth
