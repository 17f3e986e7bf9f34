// Package auth puts the credential of an upstream into every attempt.
//
// A [Source] says what to inject, [Wrap] injects it, and [WrapLast] looks once more
// when the request leaves:
//
//	retry(auth(circuit(limit(credential(attempt(transport))))))
//
// Inside of retry, so that each attempt asks the Source again; outside of
// circuit and limit, so that a credential that cannot be had is never held
// against the upstream. Without a credential nothing is sent: the call ends
// with an [UnavailableError].
//
// A wait for a turn lies in between. A token that ends before the turn is refreshed
// while the call waits (see [Until]), and the one that is sent is that of the moment
// in which the request leaves; a refusal is about that one.
//
// # OAuth 2
//
// An [OAuth2] is a Source of access tokens. What it promises:
//
//   - However many callers need a token, there is one token request. It goes on when
//     they leave, since the provider may have rotated the refresh token already.
//   - A refresh happens inside of the Keeper's lock, which all processes share, and
//     begins with reading what is kept: a token that another process got is used, and
//     the refresh token that is sent is the newest. What comes is saved before it is
//     used; where that fails, it is used all the same, and saved later.
//   - A refresh token is not sent again after its successor came, nor after it was
//     replaced or removed. It is sent a second time where the answer was lost, with the
//     process that had it or on a disk that is full: there is nothing better to do, and
//     providers that rotate know of it. One that is configured again goes out once the
//     grant that took its place is dead.
//   - It is refreshed ahead of its end, while calls use it. Who says nothing of a
//     lifetime has it learned from the age at which tokens were refused. A call that
//     waits uses one, too: see Until.
//   - A token that the upstream refused is not sent again, unless the token endpoint
//     gives the same one; nor is one that has expired. Then calls end here, with the
//     reason and when to come back.
//   - A token endpoint that is not well is asked again after a backoff, one that
//     refuses the grant or the client after a cooldown, or as soon as the operator
//     gives it something new. A restart begins anew, and asks once.
//
// # What a token is given for
//
// A table, grantKinds, says what each grant shows: nothing but the client, a refresh
// token, an assertion that we sign (RFC 7523), another token (RFC 8693). A GitHub App
// differs in how it asks and is answered, too; a service account of Google is an
// assertion whose issuer and key stand in one file. Only a refresh token can be spent
// and lost. Everything else is read anew for each request, so that keys may be replaced
// and tokens of pods may rotate, and is looked at again as soon as it was not accepted.
//
// # Logins
//
// The first tokens of the grant authorization_code come from a login: somebody agrees at
// the provider's page, which gives a [Code] for [OAuth2.Redeem], or with the code of a
// device, [OAuth2.Device] and [OAuth2.Await]. Neither puts tokens in use: [Introduce] puts
// them where the credential finds them, in whatever process, and [Forget] takes them away;
// [OAuth2.Revoke] tells the provider.
//
// What was put where it is kept by somebody else ([Introduce]) goes before all that was
// refreshed before, once a process knows of it: it looks before each refresh, and
// whenever it is told to ([OAuth2.Look]). An [OAuth2] without a configured refresh token,
// and a [Kept], are there only as long as the Keeper has them: removed by one process
// ([Forget]), no other refreshes it or saves it again.
//
// # Refusals
//
// A 401 asks the Source again (see Source). Where it has another token by then, the
// request is sent once more, whatever its method: who refused it for its credential
// did not carry it out. It needs a body that can be had again. The second answer is
// the answer, and without another token the first one is, as it came.
//
//	401 → refresh → 401      the answer
//	401 → the same token     the first 401
//	401 about a permission   the first 401: see OAuth2Settings.NotExpiry
//
// An upstream that answers 401 to one kind of request whatever the token is must not
// have it replaced each time, since that may end the one which other calls carry: a
// token that a refusal brought is kept for some seconds, and then for longer.
//
// # Signatures
//
// A [SigV4] gives tokens that sign: AWS Signature Version 4 puts a keyed digest of the
// request into it, with a date that is good for some minutes. So a signature is made
// where the request leaves, for each attempt anew, and of what may not change below:
// the method, host, path, query, Content-Type and all fields of AWS's own.
//
// The digest of the body stands in the signature, before the body. A body that can be
// had again is read for it before the call waits for its turn. One that cannot be kept
// streams to S3 unsigned, over TLS, and is refused elsewhere: an [UnsignableError], as
// for what somebody else has signed in a way that ours cannot replace. Where an SDK has
// signed the pieces of an upload one by one, each is signed anew on its way out.
//
// AWS says that it does not know a key, or that the date is wrong, with one of several
// statuses and a code. The key is read anew then, our clock is compared with the Date
// of the answer, and where one of the two brings another signature the request is
// sent once more.
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
