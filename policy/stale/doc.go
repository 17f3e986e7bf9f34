// Package stale keeps the last good answers of an upstream in memory, and gives one of
// them when the upstream fails: stale-if-error (RFC 5861 section 4).
//
// It is no cache: every request is sent as if nothing were kept, and only one that comes
// to nothing is answered from here. Such an answer says so, by Age (RFC 9111 section 5.1)
// and Cache-Status (RFC 9211).
//
// # Whose answer it is
//
// What is kept is private. It is found again by the credential, the whole URL, and every
// header of the request but those that change from call to call and say nothing of what is
// asked for: a trace, an id, a condition. So an answer goes to nobody whose request could
// have had another one, also where a caller's own credential is in a header that we do
// not know. What is more than Vary asks for costs a hit, and never an answer that is
// somebody else's.
//
// By the name of a credential there may be another account's tomorrow: after a login, with
// another key in its file, or because another process has replaced a connection. So an
// answer remembers whose credential its request carried ([Settings].Owner), and is given
// only where the request that failed carried the same owner's. One that carried none,
// since there was none to be had, gets nothing.
//
// # What is kept, and for how long
//
//   - Whole answers to GET and HEAD without a body: 200, 203, 301 and 308. A 404 is not,
//     since a caller may make what it does not find, and by then it may be there. Parts
//     (206) are not, nor streams of events, nor what sets a cookie or has trailers.
//   - What no-store, no-cache or Vary: * forbid is not kept. must-revalidate allows it
//     only while it is fresh, and the stale-if-error of the answer only so long
//     (RFC 9111 section 5.2.2, RFC 5861 section 4). s-maxage and proxy-revalidate are for
//     caches that many share. no-cache, no-store and max-age of the request are heard too.
//   - A body of up to [MaxBody], and [Most] bytes in all: what was kept first goes first.
//     The bodies that are being copied while they pass count as well.
//   - A later answer takes the place of an earlier one, and so does one that says that
//     there is nothing to keep: it is gone, or not for this credential, or not to be kept.
//     A change that went well (any other method) forgets its URL, for everybody
//     (RFC 9111 section 4.4).
package stale
