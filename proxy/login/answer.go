package login

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// An answer is what the provider's page has sent back.
type answer struct {
	code string
	err  error // why there is none
}

// A RefusedError is the provider's no, in its own words (RFC 6749 §4.1.2.1), which hold
// no control character.
type RefusedError struct {
	Code        string // "access_denied"
	Description string // "": none
}

func (e *RefusedError) Error() string {
	text := "the provider says " + e.Code
	if e.Description != "" {
		text += ": " + e.Description
	}
	return text
}

// Why something that arrived does not count.
var (
	errOther    = errors.New("this is no answer to the login that is under way: it may be of an earlier one; begin at the page that was printed")
	errAnswered = errors.New("this login has its answer already")
)

// take judges what came in the query of the redirect URL. The error says why it does not
// count, and then it is waited on.
func (a *Authorization) take(q url.Values) error {
	if states := q["state"]; len(states) != 1 || subtle.ConstantTimeCompare([]byte(states[0]), []byte(a.state)) != 1 {
		return errOther
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answered {
		return errAnswered
	}
	a.answered = true
	a.answers <- a.judge(q)
	return nil
}

// judge reads an answer to this login.
func (a *Authorization) judge(q url.Values) answer {
	for _, name := range []string{"code", "error", "iss"} {
		if len(q[name]) > 1 {
			return answer{err: fmt.Errorf("the answer of the provider has %s twice", name)}
		}
	}
	if iss := q.Get("iss"); q.Has("iss") && !a.issuer(iss) {
		return answer{err: fmt.Errorf("the answer is of another issuer, %s, than that of the page at %s (RFC 9207): a login must begin at the issuer's own authorize_url", printable(iss), a.issuers[0])}
	}
	if q.Has("error") {
		return answer{err: &RefusedError{printable(q.Get("error")), printable(q.Get("error_description"))}}
	}
	code := q.Get("code")
	if code == "" {
		return answer{err: errors.New("the answer of the provider has neither a code nor an error")}
	}
	return answer{code: code}
}

// issuer reports whether an identifier may be that of the provider (RFC 9207 §2.4).
func (a *Authorization) issuer(identifier string) bool {
	u, err := url.Parse(identifier)
	return err == nil && slices.ContainsFunc(a.issuers, func(host string) bool { return strings.EqualFold(host, u.Host) })
}

// Paste takes the URL at which the browser ended, as a user brings it. The error says
// why it does not count, and then it is waited on.
func (a *Authorization) Paste(text string) error {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.RawQuery == "" {
		return errors.New("this is no URL with an answer in its query: copy the whole address of the page that the browser ended at")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errOther
	}
	return a.take(q)
}

// maxPrintable bounds what is shown of somebody else's text.
const maxPrintable = 500

// printable is text of somebody else for a terminal or a log: what could steer one is
// taken out.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if runes := []rune(text); len(runes) > maxPrintable {
		return string(runes[:maxPrintable]) + "…"
	}
	return text
}
