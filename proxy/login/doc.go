// Package login has a user agree in a browser to what a client asks for: an
// authorization request (RFC 6749 §4.1) with PKCE (RFC 7636), whose answer comes to a
// listener at loopback (RFC 8252 §7.3), or is brought by hand.
//
//	a, err := login.Open(login.Settings{…})   // the listener, and the page's URL
//	login.Browse(a.URL)
//	code, err := a.Wait(ctx)                  // what the page has sent back
//	// … exchange the code
//	a.Close(err)                              // tells the browser how it ended
//
// # What is checked
//
// An answer is one to this login if it has its state, which is random and is compared in
// constant time. Anything else is refused, and waited on: whoever can open a page in the
// user's browser can send something here. Of the answers to this login the first one
// counts, whatever it is. An issuer that is named in it (RFC 9207) has to be at the host
// of the authorization or of the token endpoint: nothing else is known of who it is. What
// a code is worth without the verifier, which never leaves this process before the token
// request, is nothing.
//
// The package makes no token request, and knows no tokens. golang.org/x/oauth2 has the
// same few lines for the URL, the state and the challenge; but the endpoints that it
// knows want a form and answer in JSON, and the requests behind the page are made by
// policy/auth, which knows more of them.
package login
