// Package simulator is a provider that misbehaves on purpose: every limiter
// that real APIs have, in every dialect of headers, every way to fail on the
// wire, an OAuth server that rotates and revokes, and payments that count
// themselves. It is for trying a client, ours or yours, against what happens
// once a month in production.
//
// # How it is used
//
// Everything is chosen by the URL, so that one process serves every behaviour
// at once; Settings hold the defaults. GET / lists it all, with a line of curl
// for each. In a test, New and Serve are enough:
//
//	sim, err := simulator.New(simulator.Settings{Seed: 1})
//	go sim.Serve(listener)
//	defer sim.Close()
//
// and Stats says what arrived. Without a socket, for a bubble of
// testing/synctest, the Simulator is an http.Handler: it knows the time only
// by package time, and chance only by its seed.
//
// # What is counted
//
// A request is throttled if a limiter refuses it. It is a violation if it
// comes before the time at which the refusals so far invited anybody back, as
// a client must read their headers; one that comes within a grace of the
// first of these refusals was already on the wire, and is none. An effect is
// a charge really made, a duplicate an effect beyond the first of one
// X-Logical-Id, which is the test's own name for what should happen once.
// Credentials appear in the statistics by their Fingerprint alone.
//
// # What is bounded
//
// Bodies are digested and never kept. Each table (quotas, tokens, idempotency
// keys, counted calls) forgets its oldest entry beyond Settings.MaxEntries.
//
// # Endpoints
//
// Capitals stand for a choice, … for any further path; parameters are shown
// with their defaults. The parameters times, key, p and seed say which calls
// fail: the first times calls of key, and of these a share of p, the same ones
// for the same seed. Whoever is spared gets a plain 200.
//
//	Answers
//
//	  /
//	      This list, as text or JSON (Accept: application/json).
//	      curl -s BASE/
//
//	  /echo/…
//	      Any method: the request as it arrived, headers in the order and spelling
//	      of the wire, body as length and SHA-256.
//	      curl -s BASE/echo/a%2Fb?x=1 -d hello
//
//	  /status/CODE
//	      An answer of that status, 200 to 599.
//	      curl -si BASE/status/418
//
//	  /bytes/N
//	      N bytes with a Content-Length: a to z, over and over.
//	      curl -s BASE/bytes/26
//
//	  /stream/N  ?  interval=0s
//	      N lines of JSON, one chunk each.
//	      curl -sN 'BASE/stream/3?interval=200ms'
//
//	  /sse  ?  events=5 interval=100ms
//	      Server-sent events; goes on after Last-Event-ID.
//	      curl -sN 'BASE/sse?events=3&interval=200ms'
//
//	  /upload
//	      Length and SHA-256 of a body of any size.
//	      curl -s BASE/upload -T FILE
//
//	  /duplex
//	      Sends the body back while reading it.
//	      curl -sN BASE/duplex -d hello
//
//	  /trailers
//	      A chunked body with X-Checksum and X-Length after it.
//	      curl -sv BASE/trailers
//
//	  /early-hints  ?  delay=0s
//	      103 with a Link, then 200.
//	      curl -si BASE/early-hints
//
//	  /headers/two-cookies
//	      Two Set-Cookie lines, and another header twice.
//	      curl -si BASE/headers/two-cookies
//
//	  /gzip
//	      A gzip body, whether or not it was asked for.
//	      curl -s --compressed BASE/gzip
//
//	  /ws
//	      WebSocket: every frame comes back.
//	      curl -si -m1 BASE/ws -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
//
//	Limits
//
//	  /limited/window/NAME/…  ?  limit=10 per=1s dialect=ietf key= hold=0s status= grace=100ms
//	      A fixed window, from its first call on. Counted per NAME and credential
//	      (Authorization or X-Api-Key), or per key. Too many: 429, or what the
//	      dialect says.
//	      curl -si 'BASE/limited/window/crm?limit=2&per=10s'
//
//	  /limited/sliding/NAME/…  ?  limit=10 per=1s dialect=ietf key= hold=0s status= grace=100ms
//	      A sliding window: at most limit calls in any span of per.
//	      curl -si 'BASE/limited/sliding/crm?limit=2&per=10s&dialect=github'
//
//	  /limited/bucket/NAME/…  ?  limit=10 per=1s dialect=ietf key= hold=0s status= grace=100ms burst=limit
//	      A token bucket of burst, refilled with limit per per.
//	      curl -si 'BASE/limited/bucket/crm?limit=2&per=1s&burst=40&dialect=shopify'
//
//	  /limited/concurrency/NAME/…  ?  limit=10 per=1s dialect=ietf key= hold=0s status= grace=100ms
//	      At most limit calls at once; hold makes each last.
//	      curl -si 'BASE/limited/concurrency/crm?limit=1&hold=2s'
//
//	  /graphql/NAME/…  ?  maximum=1000 restore=50 cost=10 actual=cost key= hold=0s
//	      GraphQL that counts points, as Shopify does: a bucket of maximum, refilled
//	      with restore a second. cost is charged when the query comes, and all but
//	      actual given back with its answer, which tells what is left; who asks for
//	      more than that has 200 and THROTTLED.
//	      curl -s 'BASE/graphql/shop?maximum=100&cost=60&actual=20' -d '{}'
//
//	Faults
//
//	  /fault/CODE  ?  times=all key= p=1 seed= retry_after= retry_after_ms= retry_date=
//	      That status for the first so many calls of key, 200 afterwards.
//	      retry_after is sent as it is; retry_date=5s becomes an HTTP-date.
//	      curl -si 'BASE/fault/503?times=2&key=a&retry_after=1'
//
//	  /refused/NAME  ?  times=all key= p=1 seed=
//	      No, in a provider's own words where its status does not say why:
//	      atlassian-issue, github-permission, github-primary, github-secondary,
//	      google-day, google-permission, google-rate, hubspot-day, hubspot-second,
//	      openai-quota, salesforce-day, shopify-points, slack-rate, stripe-lock.
//	      curl -si 'BASE/refused/openai-quota?times=2&key=a'
//
//	  /quiet/NAME/…  ?  error=channel_not_found times=all key= p=1 seed=
//	      A failure with status 200, as providers have it: dynamodb-batch,
//	      elastic-bulk, empty, graph-batch, graphql, graphql-partial, graphql-user,
//	      salesforce, slack (a list with nothing in it). error is what slack says.
//	      curl -si 'BASE/quiet/slack/api/chat.postMessage?error=internal_error&times=2&key=a'
//
//	  /fault/flaky  ?  p=0.3 as=503 times=all key= seed=
//	      Fails a share of the calls, always the same ones for a seed and key; as: a
//	      status code, reset, close, hang or truncate.
//	      curl -si 'BASE/fault/flaky?p=0.5&seed=7'
//
//	  /fault/script/…  ?  do=503 do=… key=
//	      Meets one call after the other with what the script says, and all that
//	      follow with 200. do: a status code, reset, close, hang or truncate, and
//	      headers behind it.
//	      curl -si 'BASE/fault/script/a?do=503&do=429|Retry-After:1&do=reset'
//
//	  /fault/late  ?  delay=1s times=all key= p=1 seed=
//	      Answers after delay.
//	      curl -s 'BASE/fault/late?delay=2s'
//
//	  /fault/hang  ?  for= times=all key= p=1 seed=
//	      Never answers, or only after for.
//	      curl -s -m2 BASE/fault/hang
//
//	  /fault/hang-after-headers  ?  times=all key= p=1 seed=
//	      Sends the head and never the body.
//	      curl -si -m2 BASE/fault/hang-after-headers
//
//	  /fault/slow-drip  ?  bytes=20 interval=100ms times=all key= p=1 seed=
//	      A body that comes byte by byte.
//	      curl -sN 'BASE/fault/slow-drip?bytes=5&interval=500ms'
//
//	  /fault/redirect  ?  to=/echo status=302 times=all key= p=1 seed=
//	      Redirects, to another host if you like.
//	      curl -si 'BASE/fault/redirect?to=http://127.0.0.1:1/'
//
//	  /fault/401-until-new-token  ?  key=
//	      401 for ever to the first credential shown, 200 to every other.
//	      curl -si BASE/fault/401-until-new-token -H 'Authorization: Bearer old'
//
//	  /fault/last-of-connection  ?  times=all key= p=1 seed=
//	      200 with Connection: close; GOAWAY in HTTP/2.
//	      curl -si BASE/fault/last-of-connection
//
//	  /fault/close  ?  times=all key= p=1 seed=
//	      Ends the connection without an answer.
//	      curl -s BASE/fault/close
//
//	  /fault/reset-before  ?  times=all key= p=1 seed=
//	      Resets the connection (RST) without an answer.
//	      curl -s BASE/fault/reset-before
//
//	  /fault/reset-in-head  ?  times=all key= p=1 seed=
//	      Resets in the middle of the response head.
//	      curl -s BASE/fault/reset-in-head
//
//	  /fault/reset-after-first-byte  ?  times=all key= p=1 seed=
//	      Resets after the head and one byte of the body.
//	      curl -si BASE/fault/reset-after-first-byte
//
//	  /fault/truncate  ?  times=all key= p=1 seed=
//	      Promises 100 bytes, sends fewer and ends.
//	      curl -si BASE/fault/truncate
//
//	  /fault/wrong-length  ?  times=all key= p=1 seed=
//	      Promises 5 bytes and sends more.
//	      curl -si BASE/fault/wrong-length
//
//	  /fault/bad-chunk  ?  times=all key= p=1 seed=
//	      A chunk whose size is no number.
//	      curl -si BASE/fault/bad-chunk
//
//	  /fault/no-last-chunk  ?  times=all key= p=1 seed=
//	      A chunked body that ends without its end.
//	      curl -si BASE/fault/no-last-chunk
//
//	  /fault/garbage  ?  times=all key= p=1 seed=
//	      Bytes that are not HTTP.
//	      curl -s --http0.9 BASE/fault/garbage
//
//	  /fault/two-lengths  ?  times=all key= p=1 seed=
//	      Two Content-Length lines that disagree.
//	      curl -si BASE/fault/two-lengths
//
//	  /fault/length-and-chunked  ?  times=all key= p=1 seed=
//	      Content-Length and Transfer-Encoding at once.
//	      curl -si BASE/fault/length-and-chunked
//
//	  /fault/smuggle  ?  for=5s times=all key= p=1 seed=
//	      Two answers to one request, on a connection that stays open for that long.
//	      curl -si BASE/fault/smuggle
//
//	  /fault/huge-head  ?  size=2097152 times=all key= p=1 seed=
//	      Response headers of that many bytes.
//	      curl -s -o /dev/null BASE/fault/huge-head
//
//	OAuth
//
//	  /oauth/token  ?  lifetime=1h rotate=on leeway=0s old=live client_auth= answer= delay=5s retry_after=1 times=all key= p=1 seed=
//	      client_credentials, refresh_token (rotated; a spent one kills its family
//	      after leeway), authorization_code with PKCE, device_code, JWT bearer (the
//	      assertion is verified: iss, exp, aud, jti once, and its signature where
//	      outrider simulate has --assertion-key) and token exchange. old=dies kills
//	      access tokens at a refresh; client_auth: basic, body, assertion or none;
//	      answer: 200-error, form, 429, 503, slow, no-expires, string-expires,
//	      invalid_grant, invalid_client, empty, html, or lost (tokens made,
//	      connection reset).
//	      curl -s 'BASE/oauth/token?lifetime=30s' -u id:secret -d grant_type=client_credentials
//
//	  /app/installations/N/access_tokens  ?  lifetime=1h
//	      POST: the token of a GitHub App's installation, for the app's assertion.
//	      curl -si -X POST BASE/app/installations/1/access_tokens -H 'Authorization: Bearer JWT'
//
//	  /oauth/authorize  ?  response_type=code client_id= redirect_uri= state= code_challenge= deny iss=
//	      The user who agrees at once: redirects with a code. deny: who says no;
//	      iss: names that issuer, or with own itself.
//	      curl -si 'BASE/oauth/authorize?response_type=code&client_id=demo&redirect_uri=http://127.0.0.1:1/back&state=s'
//
//	  /oauth/device  ?  pending=2 interval=1s slow=0 end=
//	      A device code whose user agrees after so many polls, or ends it: denied or
//	      expired. slow: polls that are told to slow down.
//	      curl -s BASE/oauth/device -d client_id=demo
//
//	  /oauth/revoke
//	      Revokes a token, or a refresh token with its family.
//	      curl -si BASE/oauth/revoke -d token=TOKEN
//
//	  /oauth/introspect
//	      Whether a token is live.
//	      curl -s BASE/oauth/introspect -d token=TOKEN
//
//	  /protected/…
//	      200 to a live access token, 401 with WWW-Authenticate to everything else.
//	      curl -si BASE/protected/x -H 'Authorization: Bearer TOKEN'
//
//	Payments
//
//	  /charges  ?  fail= with=reset work=0s times=1 key= p=1 seed=
//	      Each call is a charge, but one Idempotency-Key is charged once and gets
//	      its stored answer (409 while at work, 422 with another body). fail=before:
//	      no charge; after: charged, then with (a status code, reset, close, hang or
//	      truncate); stored: a 500 that the key keeps. Failures count per key.
//	      curl -si 'BASE/charges?fail=after&with=503' -H 'Idempotency-Key: k1' -H 'X-Logical-Id: order-1' -d amount=100
//
//	Its own pages
//
//	  /_stats
//	      What it saw, as JSON. These pages are not counted, and no outage reaches
//	      them.
//	      curl -s BASE/_stats
//
//	  /_reset
//	      POST: forgets counts, quotas, charges and the outage; tokens live on.
//	      curl -s -X POST BASE/_reset
//
//	  /_control
//	      POST: an outage of everything (a status code, reset, close, hang or
//	      truncate; off), and revoke: true kills all access tokens. GET: the state.
//	      curl -s BASE/_control -d '{"outage":"503","for":"5s","retry_after":"2"}'
//
//	  /_grant  ?  client_id=demo scope=
//	      POST: a first pair of tokens, as if a user had agreed.
//	      curl -s -X POST BASE/_grant
package simulator
