package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// OAuth2Settings describe a credential that a token endpoint gives.
type OAuth2Settings struct {
	Grant    string // client_credentials, refresh_token, authorization_code, jwt_bearer, token_exchange, GitHubApp
	TokenURL string // where tokens are had

	// Whatever reads what is configured does so anew for each refresh. It must not put
	// a value into an error.
	ClientID     func() (string, error) // jwt_bearer and token_exchange may do without, the others need it
	ClientSecret func() (string, error) // nil: a public client
	RefreshToken func() (string, error) // the first one; what the Keeper has of it goes before it. nil: only the Keeper's, and what that does not have any more was taken away, see ErrRemoved

	// LoginCommand is what somebody has to run who is to log in, for errors; "": there
	// is no login.
	LoginCommand string

	// Refused is told that the token endpoint did not accept them. nil: nobody has to
	// know. It must not block.
	Refused func()

	Signing      Signing       // of the assertions of jwt_bearer, GitHubApp and private_key_jwt
	Assertion    Assertion     // jwt_bearer only
	Exchange     TokenExchange // token_exchange only
	Installation Installation  // GitHubApp only

	Scopes   []string
	Audience string            // "": not sent
	Params   map[string]string // more members of the request

	// ClientAuth is how the client shows who it is: basic (with both parts
	// form-encoded first, RFC 6749 §2.3.1), body, json and json-basic (a body that is
	// JSON), private_key_jwt (an assertion), none, or auto: basic, and body once that is
	// refused. "" is auto.
	ClientAuth string

	RefreshShare  float64       // of the lifetime, ahead of whose end it is refreshed; used when RefreshBefore is 0
	RefreshBefore time.Duration // ahead of the end; with both 0 it is refreshed at the end
	Lifetime      time.Duration // where the provider says none; 0: learned, else refreshed when the upstream refuses
	NotExpiry     []string      // texts in the body of a 401 that do not mean that the token expired

	Placeholder string // see Token.Placeholder
	Origin      string // see Token.Origin; "": what the grant was introduced with

	Transport http.RoundTripper                     // to the token endpoint; needed
	Timeout   time.Duration                         // of one token request; 0: 20 s
	Keeper    Keeper                                // nil: memory only
	Jitter    func(max time.Duration) time.Duration // random in [0, max); nil: none, and full waits
	// OnFlight is told that a token will be asked for, and gives the context in which that
	// is done, made of ctx, and what is called at the end. ctx has what the call has that
	// needs the token, if there is one, but not its end. nil: nobody listens. It must not
	// block, and neither must what it gives.
	OnFlight func(ctx context.Context, reason string) (flight context.Context, landed func(error))
	// OnWait is told of a call that has waited for a token: how long, and for which
	// flight. nil: nobody listens. It must not block.
	OnWait func(ctx, flight context.Context, reason string, waited time.Duration)

	OnRefresh func(RefreshEvent) // after each token request, and each try to save; must not block
	OnFound   func()             // trouble that OnRefresh told of is over, without a request: see relieved; must not block
}

// Format writes which grant it is about, for every verb: a value of Params may be a
// secret.
func (s OAuth2Settings) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "oauth2 "+s.Grant) }

// OAuth2 is a Source of access tokens which gets them from a token endpoint, ahead
// of time where it can, and once for all who wait.
//
// The request to the token endpoint is our own. golang.org/x/oauth2 would make the
// same form, but it does not let its errors be told apart without the text of the
// answer, sends no JSON, cannot be left by a caller, and says nothing of a refresh
// token that was replaced.
type OAuth2 struct {
	set    OAuth2Settings
	host   string // of TokenURL, for people
	params []param
	claims []param // of the assertion of jwt_bearer
	kind   grantKind
	kept   shelf
	inBody bool // ClientAuth auto: basic was refused; only a flight reads and writes it

	installation []byte // the body of a request for the token of an installation

	ending context.Context // ends at Close
	end    context.CancelFunc

	doubted atomic.Bool // the token came after a 401, and the upstream did not accept it yet

	mu     sync.Mutex // held for moments: never across a wait, a call or a callback
	held   held
	hold   hold
	flight *flight // the one slot for refreshes; nil: none is under way
	closed bool
}

// held is the grant that is used, and what we know of it.
type held struct {
	grant
	token     Token
	refreshAt time.Time     // from then on it is refreshed ahead of time; zero: never
	refused   bool          // the upstream answered 401 to the token: it is not sent any more
	accepted  bool          // it answered otherwise; known of a token that came after a 401
	early     bool          // it was had for a call that waits: see Until
	age       time.Duration // at which it was refused, if that says something about its lifetime

	unsaved   error // why the Keeper does not have it; nil: it has
	later     pause // until saving is tried again
	saveTries int
}

// NewOAuth2 checks the settings. It reads nothing that is configured: that is done
// for each refresh.
func NewOAuth2(s OAuth2Settings) (*OAuth2, error) {
	if s.ClientAuth == "" {
		s.ClientAuth = clientAuto
	}
	if s.Timeout == 0 {
		s.Timeout = 20 * time.Second
	}
	if s.Jitter == nil {
		s.Jitter = func(max time.Duration) time.Duration { return max }
	}
	if err := errors.Join(s.check()...); err != nil {
		return nil, err
	}
	endpoint, err := tokenURL(s.TokenURL)
	if err != nil {
		return nil, err
	}
	o := &OAuth2{host: endpoint.Host, kind: grantKinds[s.Grant], kept: shelf{s.Keeper, &lost{}, s.onlyKept()}}
	o.ending, o.end = context.WithCancel(context.Background())
	o.params, o.claims, o.installation = paramsOf(s.Params), paramsOf(s.Assertion.Claims), s.Installation.body()
	s.Params, s.Assertion.Claims = nil, nil // a value of them may be a secret
	s.Signing = s.Signing.withDefaults()
	s.Scopes, s.NotExpiry = slices.Clone(s.Scopes), slices.Clone(s.NotExpiry)
	o.set = s
	return o, nil
}

// Successor is NewOAuth2 for the credential that o has, with other settings: what o
// cannot save, now or later, is not lost on it. Both may be used.
func (o *OAuth2) Successor(s OAuth2Settings) (*OAuth2, error) {
	next, err := NewOAuth2(s)
	if err == nil {
		next.kept.lost = o.kept.lost
	}
	return next, err
}

// check gives everything that is wrong.
func (s *OAuth2Settings) check() (errs []error) {
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("oauth2: "+format, args...)) }
	kind, known := grantKinds[s.Grant]
	if !known {
		wrong("grant %q: must be one of %s", s.Grant, strings.Join(slices.Sorted(maps.Keys(grantKinds)), ", "))
	}
	if _, err := tokenURL(s.TokenURL); err != nil {
		errs = append(errs, err)
	}
	if s.ClientID == nil && (!kind.anonymous || s.ClientSecret != nil || s.ClientAuth == clientKey) {
		wrong("needs a client id")
	}
	if (kind.signs || s.ClientAuth == clientKey && s.Signing.Client == nil) && s.Signing.PrivateKey == nil && s.Assertion.Account == nil {
		wrong("needs a private key")
	}
	if kind.check != nil {
		kind.check(s, wrong)
	}
	if s.Transport == nil {
		wrong("needs a way to the token endpoint")
	}
	if !slices.Contains([]string{clientAuto, clientBasic, clientBody, clientJSON, clientJSONBasic, clientKey, clientNone}, s.ClientAuth) {
		wrong("client authentication %q: must be one of auto, basic, body, json, json-basic, private_key_jwt, none", s.ClientAuth)
	} else if s.ClientSecret == nil && s.ClientAuth != clientAuto && s.ClientAuth != clientKey && s.ClientAuth != clientNone {
		wrong("client authentication %s needs a client secret", s.ClientAuth)
	}
	if s.RefreshShare < 0 || s.RefreshShare >= 1 || s.RefreshBefore < 0 || s.Lifetime < 0 || s.Timeout < 0 || s.Signing.Lifetime < 0 {
		wrong("the refresh share must be in [0, 1), and no duration below 0")
	}
	for _, name := range slices.Concat(commonParams, kind.names) {
		if _, there := s.Params[name]; there {
			wrong("parameter %s: is made from its own setting", name)
		}
	}
	return errs
}

// commonParams are made from settings, whatever the grant is.
var commonParams = []string{
	"grant_type", "refresh_token", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "audience",
}

// paramsOf makes parameters of what is configured by name.
func paramsOf(values map[string]string) (params []param) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		params = append(params, param{name, NewSecret(values[name])})
	}
	return params
}

// tokenURL reads where the token endpoint is. Its error does not show the text: it
// may hold a password.
func tokenURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("oauth2: the token URL must be https://HOST/PATH")
	}
	return u, nil
}

// Close waits for the refresh that is under way, unless that waits for others itself,
// and starts no other. A grant that could not be saved gets its last try.
func (o *OAuth2) Close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.end()
	o.land()
	o.mu.Lock()
	if o.flight == nil && o.held.unsaved != nil {
		o.start(context.Background(), reasonSave)
	}
	o.mu.Unlock()
	o.land()
}

// land waits until no flight is under way.
func (o *OAuth2) land() {
	for {
		o.mu.Lock()
		f := o.flight
		o.mu.Unlock()
		if f == nil {
			return
		}
		<-f.done
	}
}
