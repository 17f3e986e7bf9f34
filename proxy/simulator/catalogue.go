package simulator

import "strings"

// An endpoint is one line of the catalogue: what is served, and what the
// index page, the package documentation and Reference say about it.
type endpoint struct {
	Group string `json:"group"`
	Path  string `json:"path"`            // capitals stand for a choice, … for anything
	Query string `json:"query,omitempty"` // parameters with their defaults
	About string `json:"about"`
	Curl  string `json:"curl"` // one line to try; BASE is where the simulator listens

	answer handler
}

const (
	planQuery    = "times=all key= p=1 seed="
	limiterQuery = "limit=10 per=1s dialect=ietf key= hold=0s status= grace=100ms"
)

// catalogue is the one list of everything that is served.
func catalogue() []endpoint {
	return []endpoint{
		{"Answers", "/", "", "This list, as text or JSON (Accept: application/json).", "curl -s BASE/", index},
		{"Answers", "/echo/…", "", "Any method: the request as it arrived, headers in the order and spelling of the wire, body as length and SHA-256.", "curl -s BASE/echo/a%2Fb?x=1 -d hello", echo},
		{"Answers", "/status/CODE", "", "An answer of that status, 200 to 599.", "curl -si BASE/status/418", status},
		{"Answers", "/bytes/N", "", "N bytes with a Content-Length: a to z, over and over.", "curl -s BASE/bytes/26", serveBytes},
		{"Answers", "/stream/N", "interval=0s", "N lines of JSON, one chunk each.", "curl -sN 'BASE/stream/3?interval=200ms'", stream},
		{"Answers", "/sse", "events=5 interval=100ms", "Server-sent events; goes on after Last-Event-ID.", "curl -sN 'BASE/sse?events=3&interval=200ms'", sse},
		{"Answers", "/upload", "", "Length and SHA-256 of a body of any size.", "curl -s BASE/upload -T FILE", upload},
		{"Answers", "/duplex", "", "Sends the body back while reading it.", "curl -sN BASE/duplex -d hello", duplex},
		{"Answers", "/trailers", "", "A chunked body with X-Checksum and X-Length after it.", "curl -sv BASE/trailers", trailers},
		{"Answers", "/early-hints", "delay=0s", "103 with a Link, then 200.", "curl -si BASE/early-hints", earlyHints},
		{"Answers", "/headers/two-cookies", "", "Two Set-Cookie lines, and another header twice.", "curl -si BASE/headers/two-cookies", twoCookies},
		{"Answers", "/gzip", "", "A gzip body, whether or not it was asked for.", "curl -s --compressed BASE/gzip", zipped},
		{"Answers", "/ws", "", "WebSocket: every frame comes back.", "curl -si -m1 BASE/ws -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='", webSocket},

		{"Limits", "/limited/window/NAME/…", limiterQuery, "A fixed window, from its first call on. Counted per NAME and credential (Authorization or X-Api-Key), or per key. Too many: 429, or what the dialect says.", "curl -si 'BASE/limited/window/crm?limit=2&per=10s'", limited},
		{"Limits", "/limited/sliding/NAME/…", limiterQuery, "A sliding window: at most limit calls in any span of per.", "curl -si 'BASE/limited/sliding/crm?limit=2&per=10s&dialect=github'", limited},
		{"Limits", "/limited/bucket/NAME/…", limiterQuery + " burst=limit", "A token bucket of burst, refilled with limit per per.", "curl -si 'BASE/limited/bucket/crm?limit=2&per=1s&burst=40&dialect=shopify'", limited},
		{"Limits", "/limited/concurrency/NAME/…", limiterQuery, "At most limit calls at once; hold makes each last.", "curl -si 'BASE/limited/concurrency/crm?limit=1&hold=2s'", limited},
		{"Limits", "/graphql/NAME/…", "maximum=1000 restore=50 cost=10 actual=cost key= hold=0s", "GraphQL that counts points, as Shopify does: a bucket of maximum, refilled with restore a second. cost is charged when the query comes, and all but actual given back with its answer, which tells what is left; who asks for more than that has 200 and THROTTLED.", "curl -s 'BASE/graphql/shop?maximum=100&cost=60&actual=20' -d '{}'", graphQL},

		{"Faults", "/fault/CODE", planQuery + " retry_after= retry_after_ms= retry_date=", "That status for the first so many calls of key, 200 afterwards. retry_after is sent as it is; retry_date=5s becomes an HTTP-date.", "curl -si 'BASE/fault/503?times=2&key=a&retry_after=1'", fault(faultCode)},
		{"Faults", "/refused/NAME", planQuery, "No, in a provider's own words where its status does not say why: " + strings.Join(Refusals(), ", ") + ".", "curl -si 'BASE/refused/openai-quota?times=2&key=a'", fault(refuse)},
		{"Faults", "/quiet/NAME/…", "error=channel_not_found " + planQuery, "A failure with status 200, as providers have it: " + strings.Join(quietNames(), ", ") + " (a list with nothing in it). error is what slack says.", "curl -si 'BASE/quiet/slack/api/chat.postMessage?error=internal_error&times=2&key=a'", quiet},
		{"Faults", "/fault/flaky", "p=0.3 as=503 times=all key= seed=", "Fails a share of the calls, always the same ones for a seed and key; as: " + kinds + ".", "curl -si 'BASE/fault/flaky?p=0.5&seed=7'", flaky},
		{"Faults", "/fault/script/…", "do=503 do=… key=", "Meets one call after the other with what the script says, and all that follow with 200. do: " + kinds + ", and headers behind it.", "curl -si 'BASE/fault/script/a?do=503&do=429|Retry-After:1&do=reset'", script},
		{"Faults", "/fault/late", "delay=1s " + planQuery, "Answers after delay.", "curl -s 'BASE/fault/late?delay=2s'", fault(late)},
		{"Faults", "/fault/hang", "for= " + planQuery, "Never answers, or only after for.", "curl -s -m2 BASE/fault/hang", fault(hang)},
		{"Faults", "/fault/hang-after-headers", planQuery, "Sends the head and never the body.", "curl -si -m2 BASE/fault/hang-after-headers", fault(hangAfterHeaders)},
		{"Faults", "/fault/slow-drip", "bytes=20 interval=100ms " + planQuery, "A body that comes byte by byte.", "curl -sN 'BASE/fault/slow-drip?bytes=5&interval=500ms'", fault(slowDrip)},
		{"Faults", "/fault/redirect", "to=/echo status=302 " + planQuery, "Redirects, to another host if you like.", "curl -si 'BASE/fault/redirect?to=http://127.0.0.1:1/'", fault(redirect)},
		{"Faults", "/fault/401-until-new-token", "key=", "401 for ever to the first credential shown, 200 to every other.", "curl -si BASE/fault/401-until-new-token -H 'Authorization: Bearer old'", untilNewToken},
		{"Faults", "/fault/last-of-connection", planQuery, "200 with Connection: close; GOAWAY in HTTP/2.", "curl -si BASE/fault/last-of-connection", fault(lastOfConnection)},
		{"Faults", "/fault/close", planQuery, "Ends the connection without an answer.", "curl -s BASE/fault/close", raw("", byClose)},
		{"Faults", "/fault/reset-before", planQuery, "Resets the connection (RST) without an answer.", "curl -s BASE/fault/reset-before", raw("", byReset)},
		{"Faults", "/fault/reset-in-head", planQuery, "Resets in the middle of the response head.", "curl -s BASE/fault/reset-in-head", raw(halfHead, byReset)},
		{"Faults", "/fault/reset-after-first-byte", planQuery, "Resets after the head and one byte of the body.", "curl -si BASE/fault/reset-after-first-byte", raw(firstByte, byReset)},
		{"Faults", "/fault/truncate", planQuery, "Promises 100 bytes, sends fewer and ends.", "curl -si BASE/fault/truncate", raw(truncated, byClose)},
		{"Faults", "/fault/wrong-length", planQuery, "Promises 5 bytes and sends more.", "curl -si BASE/fault/wrong-length", raw(tooMuch, byClose)},
		{"Faults", "/fault/bad-chunk", planQuery, "A chunk whose size is no number.", "curl -si BASE/fault/bad-chunk", raw(badChunk, byClose)},
		{"Faults", "/fault/no-last-chunk", planQuery, "A chunked body that ends without its end.", "curl -si BASE/fault/no-last-chunk", raw(noEnd, byClose)},
		{"Faults", "/fault/garbage", planQuery, "Bytes that are not HTTP.", "curl -s --http0.9 BASE/fault/garbage", raw(garbage, byClose)},
		{"Faults", "/fault/two-lengths", planQuery, "Two Content-Length lines that disagree.", "curl -si BASE/fault/two-lengths", raw(twoLength, byClose)},
		{"Faults", "/fault/length-and-chunked", planQuery, "Content-Length and Transfer-Encoding at once.", "curl -si BASE/fault/length-and-chunked", raw(bothWays, byClose)},
		{"Faults", "/fault/smuggle", "for=5s " + planQuery, "Two answers to one request, on a connection that stays open for that long.", "curl -si BASE/fault/smuggle", fault(lingering)},
		{"Faults", "/fault/huge-head", "size=2097152 " + planQuery, "Response headers of that many bytes.", "curl -s -o /dev/null BASE/fault/huge-head", fault(hugeHead)},

		{"OAuth", "/oauth/token", "lifetime=1h rotate=on leeway=0s old=live client_auth= answer= delay=5s retry_after=1 " + planQuery, "client_credentials, refresh_token (rotated; a spent one kills its family after leeway), authorization_code with PKCE, device_code, JWT bearer (the assertion is verified: iss, exp, aud, jti once, and its signature where outrider simulate has --assertion-key) and token exchange. old=dies kills access tokens at a refresh; client_auth: basic, body, assertion or none; answer: 200-error, form, 429, 503, slow, no-expires, string-expires, invalid_grant, invalid_client, empty, html, or lost (tokens made, connection reset).", "curl -s 'BASE/oauth/token?lifetime=30s' -u id:secret -d grant_type=client_credentials", tokenEndpoint},
		{"OAuth", "/app/installations/N/access_tokens", "lifetime=1h", "POST: the token of a GitHub App's installation, for the app's assertion.", "curl -si -X POST BASE/app/installations/1/access_tokens -H 'Authorization: Bearer JWT'", postOnly(installationToken)},
		{"OAuth", "/oauth/authorize", "response_type=code client_id= redirect_uri= state= code_challenge= deny iss=", "The user who agrees at once: redirects with a code. deny: who says no; iss: names that issuer, or with own itself.", "curl -si 'BASE/oauth/authorize?response_type=code&client_id=demo&redirect_uri=http://127.0.0.1:1/back&state=s'", authorize},
		{"OAuth", "/oauth/device", "pending=2 interval=1s slow=0 end=", "A device code whose user agrees after so many polls, or ends it: denied or expired. slow: polls that are told to slow down.", "curl -s BASE/oauth/device -d client_id=demo", startDevice},
		{"OAuth", "/oauth/revoke", "", "Revokes a token, or a refresh token with its family.", "curl -si BASE/oauth/revoke -d token=TOKEN", revokeToken},
		{"OAuth", "/oauth/introspect", "", "Whether a token is live.", "curl -s BASE/oauth/introspect -d token=TOKEN", introspect},
		{"OAuth", "/protected/…", "", "200 to a live access token, 401 with WWW-Authenticate to everything else.", "curl -si BASE/protected/x -H 'Authorization: Bearer TOKEN'", protected},

		{"Payments", "/charges", "fail= with=reset work=0s times=1 key= p=1 seed=", "Each call is a charge, but one Idempotency-Key is charged once and gets its stored answer (409 while at work, 422 with another body). fail=before: no charge; after: charged, then with (" + kinds + "); stored: a 500 that the key keeps. Failures count per key.", "curl -si 'BASE/charges?fail=after&with=503' -H 'Idempotency-Key: k1' -H 'X-Logical-Id: order-1' -d amount=100", pay},

		{"Its own pages", "/_stats", "", "What it saw, as JSON. These pages are not counted, and no outage reaches them.", "curl -s BASE/_stats", showStats},
		{"Its own pages", "/_reset", "", "POST: forgets counts, quotas, charges and the outage; tokens live on.", "curl -s -X POST BASE/_reset", postOnly(resetAll)},
		{"Its own pages", "/_control", "", "POST: an outage of everything (" + kinds + "; off), and revoke: true kills all access tokens. GET: the state.", `curl -s BASE/_control -d '{"outage":"503","for":"5s","retry_after":"2"}'`, control},
		{"Its own pages", "/_grant", "client_id=demo scope=", "POST: a first pair of tokens, as if a user had agreed.", "curl -s -X POST BASE/_grant", postOnly(giveGrant)},
	}
}
