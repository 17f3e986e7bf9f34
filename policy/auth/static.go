package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// The kinds of credentials that come from configuration as they are.
const (
	None        = "none"        // the caller's Authorization is removed, nothing is put in its place
	Passthrough = "passthrough" // the request is left as the caller made it
	Bearer      = "bearer"      // Authorization: Bearer VALUE (RFC 6750)
	Basic       = "basic"       // Authorization: Basic base64(USERNAME:VALUE) (RFC 7617)
	Header      = "header"      // NAME: PREFIX VALUE, without a space between the two
	Query       = "query"       // NAME=VALUE in the query
	Placeholder = "placeholder" // VALUE wherever the caller wrote the placeholder, and nothing where it did not
)

// Settings describe one credential.
type Settings struct {
	Type   string // one of the kinds above
	Name   string // of the header field or query parameter; header and query need it, the others do not take it
	Prefix string // put before the value as it is, with its own space if one belongs there: "Token "; header only

	// Placeholder is what the caller knows in place of the secret. placeholder
	// needs it, since it is what is replaced in requests; every kind puts it where
	// a response shows the secret. It ends with the name of an upstream, of
	// lower-case letters, digits, - and _.
	Placeholder string

	// Origin is where alone it is sent: see Token.Origin.
	Origin string

	// Value and Username read the secret, for every attempt anew: a file may
	// have changed. They must not put the value into an error. Value is needed
	// by bearer, header, query and placeholder; for basic it is the password. A part of basic
	// that is nil is empty, as some providers want the one or the other; one that
	// reads as empty is an error.
	Value, Username func() (string, error)

	// Constant says that they give the same each time, and at once: what was read is not
	// read again.
	Constant bool

	// Refused says that the provider did not take them, so that they are read anew
	// the next time, if that is possible. nil: it is not.
	Refused func()
}

// New returns the Source of a credential that comes from configuration. What
// the value is wrong about is found when it is used, not here: it may change.
func New(s Settings) (Source, error) {
	switch s.Type {
	case None:
		return fixed{Token{Kind: None, Header: authorization, Remove: true}}, nil
	case Passthrough:
		return fixed{}, nil
	case Bearer:
		if s.Value == nil {
			return nil, errors.New("bearer: needs a token")
		}
		s.Name, s.Prefix = authorization, "Bearer "
	case Basic:
		if s.Value == nil && s.Username == nil {
			return nil, errors.New("basic: needs a username or a password")
		}
		if s.Username != nil { // one that cannot be read now may be at its first use
			if name, err := s.Username(); err == nil && strings.Contains(name, ":") {
				return nil, errColon
			}
		}
		s.Name = authorization
	case Header:
		if err := checkField(s.Name); err != nil {
			return nil, err
		}
		if s.Value == nil {
			return nil, errors.New("header: needs a value")
		}
		if hasControl(s.Prefix) {
			return nil, errors.New("header: the prefix contains a control character")
		}
		s.Name = http.CanonicalHeaderKey(s.Name)
	case Query:
		if s.Name == "" {
			return nil, errors.New("query: needs the name of the parameter")
		}
		if s.Value == nil {
			return nil, errors.New("query: needs a value")
		}
	case Placeholder:
		if s.Placeholder == "" || s.Value == nil {
			return nil, errors.New("placeholder: needs a placeholder and a value")
		}
	default:
		return nil, fmt.Errorf("type %q: must be one of none, passthrough, bearer, basic, header, query, placeholder", s.Type)
	}
	return &static{Settings: s}, nil
}

const authorization = "Authorization"

var errColon = errors.New("basic: the username contains a colon, which ends it (RFC 7617 §2)")

// checkField refuses names that are no field, or whose field is not the
// credential's to set: they frame the message or concern one connection.
func checkField(name string) error {
	if name == "" {
		return errors.New("header: needs the name of the field")
	}
	if strings.ContainsFunc(name, func(r rune) bool {
		return r > unicode.MaxASCII || !(unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	}) {
		return fmt.Errorf("header: %q is not the name of a field (RFC 9110 §5.1)", name)
	}
	if slices.Contains([]string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive",
		"Proxy-Connection", "Te", "Trailer", "Upgrade", "Expect"}, http.CanonicalHeaderKey(name)) {
		return fmt.Errorf("header: %s cannot carry a credential", name)
	}
	return nil
}

// fixed is a Source of a Token without a secret.
type fixed struct{ token Token }

func (f fixed) Token(context.Context, Token) (Token, error) { return f.token, nil }

// static is a Source that reads its secret for each token, where it may change, and makes
// the token anew when it has.
type static struct {
	Settings
	last atomic.Pointer[made]
}

// made is a token and what it was made of. It is not changed.
type made struct {
	username, value Secret
	token           Token
}

// Origin is where alone it is sent; "": wherever requests go.
func (s *static) Origin() string { return s.Settings.Origin }

// Token gives what is configured now. Of a stale token it is read anew, where it
// can be: a file may have changed, and a command may give another one.
func (s *static) Token(_ context.Context, stale Token) (Token, error) {
	if !stale.empty() && s.Refused != nil {
		s.Refused()
	}
	token, err := s.lend()
	if err != nil {
		return Token{}, err
	}
	return *token, nil
}

// lend gives the token that is kept. Nobody writes to it.
func (s *static) lend() (*Token, error) {
	if last := s.last.Load(); last != nil && s.Constant {
		return &last.token, nil
	}
	token, err := s.read()
	if err != nil {
		return nil, &UnavailableError{Err: fmt.Errorf("%s: %w", s.Type, err)}
	}
	return token, nil
}

// read reads the secret, and keeps a token of it.
func (s *static) read() (*Token, error) {
	last := s.last.Load()
	var username, value string
	var err error
	if s.Type == Basic && s.Username != nil {
		if username, err = s.Username(); err != nil {
			return nil, fmt.Errorf("reading the username: %w", err)
		}
	}
	if s.Value != nil {
		if value, err = s.Value(); err != nil {
			return nil, fmt.Errorf("reading %s: %w", s.part(), err)
		}
	}
	if last != nil && last.username.Reveal() == username && last.value.Reveal() == value {
		return &last.token, nil
	}
	token, err := s.compose(username, value)
	if err != nil {
		return nil, err
	}
	now := &made{NewSecret(username), NewSecret(value), token}
	s.last.Store(now)
	return &now.token, nil
}

// Ends is when the secret that was read last ends, if it is a token that says so (RFC 7519
// §4.1.4); zero: it does not.
func (s *static) Ends() time.Time {
	last := s.last.Load()
	if last == nil {
		return time.Time{}
	}
	return instant(jwtExpiry(last.value.Reveal()))
}

// part names the value in errors.
func (s *static) part() string {
	if s.Type == Basic {
		return "the password"
	}
	return "the value"
}

// compose makes the token of a secret.
func (s *static) compose(username, value string) (Token, error) {
	if s.Type == Basic && s.Username != nil {
		if err := sendable("the username", username); err != nil {
			return Token{}, err
		}
	}
	if s.Value != nil {
		if err := sendable(s.part(), value); err != nil {
			return Token{}, err
		}
	}
	t := Token{Kind: s.Type, Placeholder: s.Placeholder, Origin: s.Settings.Origin, checked: true}
	switch s.Type {
	case Basic:
		credentials, err := basic(username, value)
		if err != nil {
			return Token{}, err
		}
		t.Header, t.Value = s.Name, NewSecret("Basic "+credentials)
		t.Hidden[0], t.Hidden[1] = NewSecret(credentials), NewSecret(secretPart(username, value))
	case Query:
		t.Query, t.Value = s.Name, NewSecret(value)
		t.Hidden[0] = t.Value
	case Placeholder:
		t.Value = NewSecret(value)
		t.Hidden[0] = t.Value
	default:
		t.Header, t.Value = s.Name, NewSecret(s.Prefix+value)
		t.Hidden[0] = NewSecret(value)
	}
	t.Owner = t.Hidden[0]
	return t, nil
}

// secretPart is the part of basic credentials that a response must not show. It is
// the password, unless that is one for form's sake ("X"): then the key stands where
// the username does. A username beside a real password is a name, found in the URLs
// of its provider.
func secretPart(username, password string) string {
	if len(password) < shortest {
		return username
	}
	return password
}

// basic makes the credentials of RFC 7617, in UTF-8.
func basic(username, password string) (string, error) {
	if strings.Contains(username, ":") {
		return "", errors.New("the username contains a colon")
	}
	if !utf8.ValidString(username) || !utf8.ValidString(password) {
		return "", errors.New("username and password must be UTF-8")
	}
	return base64.StdEncoding.EncodeToString([]byte(username + ":" + password)), nil
}

// sendable checks that a part of the credential can be sent. part names it in
// errors.
func sendable(part, v string) error {
	if v == "" {
		return fmt.Errorf("%s is empty", part)
	}
	if hasControl(v) {
		return fmt.Errorf("%s contains a control character, maybe a line end", part)
	}
	return nil
}
