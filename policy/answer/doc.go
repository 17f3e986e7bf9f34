// Package answer finds out what an answer means where its status does not say it.
//
// A 429 may be a matter of seconds, of tomorrow, or of somebody's credit card; a 403
// is about permission at one provider and about a quota at the next; and some answer
// 200 to a call that was throttled, or failed. What tells them apart is a word in the body
// or a header, which a [Rule] names:
//
//	limit(answer(credential(attempt(transport))))
//
// It is one decorator, inside of all stages that act on an answer, so that all of them
// act on the same [Finding]. It tells, and the answer goes on byte for byte.
//
// # What is read
//
// A header costs a look. A body is read only of an answer whose status a Rule names,
// that is JSON, and that no Rule before it has explained; at most 64 KiB, since an
// answer that refuses is short, and for at most two seconds. Where a Rule is about GraphQL,
// these are good answers, which tell of their points (Finding.Points), and it is 512 KiB.
// A longer or slower body is passed on with what was read in front, and means what its
// status says. One that is compressed by gzip is unpacked for reading alone. Other codings
// are not asked for, where a Rule looks into bodies: a decoder of each would be at the
// mercy of whoever answers (165 bytes of br cost 17 MB and a tenth of a second).
//
// A body is not parsed before a glance at its bytes has found the place that a Rule names
// with something behind it that may fit: most good answers cost no more than that.
//
// Nothing of a body is kept or shown: a Finding has the words of its Rule, which come
// from the configuration.
package answer
