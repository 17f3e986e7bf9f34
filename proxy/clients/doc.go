// Package clients knows how real HTTP clients are told to use a proxy and to
// trust a certificate authority: which variable which one reads, in which
// spelling, and which of them have to be told by a file of their own.
//
//	Variables   Settings → the environment for a child, with a note of who reads what
//	Render      that environment, for a shell, an env file or a pod
//	Probes      small programs that make one call with each client, for a doctor
//
// What the table says was observed with real clients, one by one: they agree on
// very little. curl reads http_proxy in lower case only, wget both only in lower
// case, Ruby takes http_proxy for https too, Java reads no variable at all, and
// an agent of its own makes a Node client deaf to everything. For the last there
// is capture.cjs, which Node loads before the application.
package clients
