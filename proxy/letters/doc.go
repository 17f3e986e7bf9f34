// Package letters is the JSON API by which people and programs look after the outbox: what
// waits, what is dead and why, and what is to become of it.
//
//	GET   /api/outbox                        how it stands, for each upstream
//	GET   /api/outbox/letters                ?state=&upstream=&reason=&older=&id=: letters, the newest first
//	GET   /api/outbox/letters/ID             one, with its attempts
//	GET   /api/outbox/letters/ID/request     what is sent, as PATCH takes it; 409 when it is kept no longer
//	GET   /api/outbox/letters/ID/response    the last answer
//	PATCH /api/outbox/letters/ID             changes what a dead letter sends, and has it sent
//	POST  /api/outbox/retry                  ?filter: has dead letters sent again; with state=waiting, waiting ones at once
//	POST  /api/outbox/drop                   ?filter: forgets letters, whatever their state
//	POST  /api/outbox/drain                  ?upstream=: has what waits sent at once, and answers when nothing waits
//	POST  /api/outbox/import                 a letter for each line (application/x-ndjson), all or none
//	GET   /api/outbox/export                 ?filter: letters and their answers, a line each
//
// It is below the admin port, whose handler lets only those through who may.
//
// # Which letters
//
// The parameters of a list choose letters for the others, too: state (waiting, sending,
// delivered, dead, cancelled), upstream, reason (of dead ones), older (a duration, since they
// were accepted), id (more than once for several). All have to hold. What is not known here is
// an error, and so is a retry or a drop that chooses nothing: a filter that somebody has
// misspelt must not mean all. all=true does.
//
// Lists come in pages: {"letters": […], "next": "…"}, where next, if it is there, is the after
// of the next page (?after=…&limit=100).
//
// # What is shown
//
// A letter has no credential (package outbox), and a list has neither headers nor bodies, nor
// queries. Who asks for the request or the answer of one letter gets these, since that is what
// has to be mended: it is the data of an application.
//
// Errors are application/problem+json (RFC 9457).
package letters
