package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"outrider/policy/auth"
	"outrider/policy/config"
)

// A Handover is the credential of a connection that somebody has from elsewhere: what a
// provider answered to a login of theirs, or an API key.
type Handover struct {
	Name   string // of the connection
	pair   auth.Pair
	static auth.Static
}

// A HandoverError says what is wrong with one member of a document. It shows no value.
type HandoverError struct {
	Member  string // "": the document itself
	Problem string
}

func (e *HandoverError) Error() string {
	if e.Member == "" {
		return e.Problem
	}
	return e.Member + ": " + e.Problem
}

// A member is one member of a document, by its name.
type member struct {
	name string
	read func(raw json.RawMessage, into *Handover, now time.Time) (problem string)
}

func text(name string, at func(*Handover) *auth.Secret) member {
	return member{name, func(raw json.RawMessage, into *Handover, _ time.Time) string {
		value, problem := readText(raw)
		*at(into) = auth.NewSecret(value)
		return problem
	}}
}

// ignored are members of a token endpoint's answer that may be handed over with it.
func ignored(name string) member {
	return member{name, func(json.RawMessage, *Handover, time.Time) string { return "" }}
}

var (
	tokenMembers = []member{
		text("access_token", func(h *Handover) *auth.Secret { return &h.pair.Access }),
		text("refresh_token", func(h *Handover) *auth.Secret { return &h.pair.Refresh }),
		{"expires_in", readExpiresIn},
		{"expires_at", readExpiresAt},
		ignored("token_type"), ignored("scope"),
	}
	basicMembers = []member{
		text("username", func(h *Handover) *auth.Secret { return &h.static.Username }),
		text("password", func(h *Handover) *auth.Secret { return &h.static.Value }),
	}
	valueMembers = []member{text("token", func(h *Handover) *auth.Secret { return &h.static.Value })}
)

func members(a config.Auth) []member {
	switch a.Type {
	case "oauth2":
		return tokenMembers
	case "basic":
		return basicMembers
	}
	return valueMembers
}

// ReadHandover reads the JSON document of a credential for this upstream. name is that of
// the connection; "" where the document has it, as its member "name". The error is a
// *HandoverError, or a *ConnectionError where the upstream takes no such thing.
func (u *Upstream) ReadHandover(name string, document []byte) (*Handover, error) {
	if err := u.takesHandover(name); err != nil {
		return nil, err
	}
	var written map[string]json.RawMessage
	if err := json.Unmarshal(document, &written); err != nil || written == nil {
		return nil, &HandoverError{"", "it must be an object of JSON, such as " + u.sample()}
	}
	h := &Handover{Name: name}
	if raw, there := written["name"]; name == "" {
		text, problem := readText(raw)
		if !there {
			problem = "is missing: which connection is it?"
		} else if problem == "" {
			problem = config.ConnectionName(text)
		}
		if problem != "" {
			return nil, &HandoverError{"name", problem}
		}
		if err := u.takesHandover(text); err != nil {
			return nil, err
		}
		h.Name = text
		delete(written, "name")
	}
	if raw, there := written["url"]; there {
		if err := u.readOrigin(raw, h); err != nil {
			return nil, err
		}
		delete(written, "url")
	}
	known := members(u.Config.Auth)
	now := time.Now().Round(0) // the wall clock
	for _, key := range slices.Sorted(maps.Keys(written)) {
		i := slices.IndexFunc(known, func(m member) bool { return m.name == key })
		if i < 0 {
			return nil, &HandoverError{shownMember(key), "is not known for type " + u.Config.Auth.Type + "; it is like " + u.sample()}
		}
		if problem := known[i].read(written[key], h, now); problem != "" {
			return nil, &HandoverError{key, problem}
		}
	}
	if err := u.complete(h, written); err != nil {
		return nil, err
	}
	return h, nil
}

// readOrigin reads where a connection is: see config.Upstream.ConnectionOrigin.
func (u *Upstream) readOrigin(raw json.RawMessage, h *Handover) error {
	text, problem := readText(raw)
	if problem == "" {
		text, problem = u.Config.ConnectionOrigin(text)
	}
	if own := authOf(u.Config, h.Name).Origin; problem == "" && own != "" && own != text {
		problem = "is in the configuration of this connection: " + own
	}
	if problem != "" {
		return &HandoverError{"url", problem}
	}
	h.pair.Origin, h.static.Origin = text, text
	return nil
}

// complete reports what is missing, or there twice.
func (u *Upstream) complete(h *Handover, written map[string]json.RawMessage) error {
	_, in := written["expires_in"]
	_, at := written["expires_at"]
	nothing := auth.Secret{}
	switch {
	case in && at:
		return &HandoverError{"expires_at", "is one way to say it, and expires_in another: give one"}
	case u.Config.Auth.Type == "oauth2" && h.pair.Access == nothing && h.pair.Refresh == nothing:
		return &HandoverError{"refresh_token", "is missing, and so is access_token: one of them is needed"}
	case u.Config.Auth.Type == "basic" && h.static.Username == nothing && h.static.Value == nothing:
		return &HandoverError{"password", "is missing, and so is username: one of them is needed"}
	case u.Config.Auth.Type != "oauth2" && u.Config.Auth.Type != "basic" && h.static.Value == nothing:
		return &HandoverError{"token", "is missing"}
	case u.Config.Auth.Type == "basic" && strings.Contains(h.static.Username.Reveal(), ":"):
		return &HandoverError{"username", "must not hold a colon, which ends it (RFC 7617 section 2)"}
	}
	return nil
}

// sample is a document for this upstream.
func (u *Upstream) sample() string {
	switch u.Config.Auth.Type {
	case "oauth2":
		return `{"access_token": "…", "refresh_token": "…", "expires_in": 3600}`
	case "basic":
		return `{"username": "…", "password": "…"}`
	}
	return `{"token": "…"}`
}

// shownMember shows the name of an unknown member where it can be no secret.
func shownMember(key string) string {
	if len(key) > 32 || strings.ContainsFunc(key, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		return "a member"
	}
	return key
}

func readText(raw json.RawMessage) (value, problem string) {
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &value) != nil {
		return "", "must be text in quotes"
	}
	switch {
	case strings.ContainsFunc(value, unicode.IsControl):
		return "", "must not hold line ends or other control characters"
	case strings.Contains(value, "\uFFFD"):
		return "", "must be UTF-8"
	}
	return value, ""
}

// longestLife bounds how long a token lives, in seconds: more is milliseconds, or a slip.
const longestLife = 100 * 366 * 24 * 60 * 60

func readExpiresIn(raw json.RawMessage, into *Handover, now time.Time) string {
	var seconds float64
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil { // some providers write it so
		raw = json.RawMessage(quoted)
	}
	if json.Unmarshal(raw, &seconds) != nil || seconds <= 0 || seconds > longestLife || math.IsNaN(seconds) {
		return "must be a number of seconds, more than 0"
	}
	into.pair.Expires = now.Add(time.Duration(seconds * float64(time.Second)))
	return ""
}

func readExpiresAt(raw json.RawMessage, into *Handover, _ time.Time) string {
	const form = `must be an instant, such as "2027-01-31T12:00:00Z", or seconds since 1970`
	var text string
	if json.Unmarshal(raw, &text) == nil {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return form
		}
		into.pair.Expires = at
		return ""
	}
	var seconds float64
	if json.Unmarshal(raw, &seconds) != nil || seconds <= 0 || seconds > math.MaxUint32 {
		return form
	}
	into.pair.Expires = time.Unix(int64(seconds), 0)
	return ""
}

// Format writes which connection it is of, for every verb.
func (h Handover) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "credential of "+h.Name) }
