// Package upstream is what the proxies that are measured talk to: an API, streams, and a
// collector of spans. All of it is on 127.0.0.1, and on the processor that the load comes
// from.
package upstream
