// Package handover is the JSON API by which a program hands connections over to
// Outrider that it has from elsewhere: a backend with a login of its own for thousands
// of customers, or with an API key of each.
//
//	GET    /api/connections                  of all upstreams
//	GET    /api/connections/UPSTREAM         of one
//	POST   /api/connections/UPSTREAM         many at once
//	GET    /api/connections/UPSTREAM/NAME    one
//	PUT    /api/connections/UPSTREAM/NAME    201 created, 200 replaced
//	DELETE /api/connections/UPSTREAM/NAME    204; 404 if there was none
//
// It is below the admin port, whose handler lets only those through who may. Lists come
// in pages: {"connections": […], "next": "…"}, where next, if it is there, is the after of
// the next page (?after=…&limit=1000). No answer shows a value.
//
// A PUT brings what a token endpoint answered, or the key: see policy.Upstream.ReadHandover.
// A "url" beside it says where the connection is, and alone its credential goes.
// It is durable when it is answered, and the newest from then on: a refresh token that it
// replaced is not sent any more.
//
// A POST brings a list of such documents, each with its name as the member "name", as
// JSON or a line each (application/x-ndjson). All are read before the first is stored, so
// that a document which is wrong changes nothing: 422 names it. Then the answer has a
// line for each, in their order: {"name": "acme", "result": "created"}. It ends after the
// first that could not be stored, whose line has an "error"; what has no line was not
// tried.
//
// Errors are application/problem+json (RFC 9457).
package handover
