package simulator

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"sync"
	"time"
)

// A Grant is what one authorization gives to a client.
type Grant struct {
	AccessToken  string
	RefreshToken string // empty for grants that renew themselves
	Scope        string
	Expires      time.Time // of the access token

	issued string // issued_token_type of an exchange
}

// What is wrong with a token, as RFC 6749 section 5.2 and RFC 6750 section 3.1 call it.
var (
	errUnknownToken = errors.New("the token is not one of ours")
	errExpired      = errors.New("the token has expired")
	errRevoked      = errors.New("the token was revoked")
	errReused       = errors.New("the refresh token was used before: the whole family is revoked")
	errOtherClient  = errors.New("the grant belongs to another client")
	errSpentCode    = errors.New("the code was used before: its tokens are revoked")
	errVerifier     = errors.New("code_verifier or redirect_uri does not match")
)

// grants are the tokens that are out.
type grants struct {
	set Settings

	mu      sync.Mutex
	made    uint64 // tokens so far, part of the next one's spelling
	access  *bounded[*accessToken]
	refresh *bounded[*refreshToken]
	codes   *bounded[*code]
	devices *bounded[*device]
	revoked uint64 // access tokens numbered up to this are dead
}

// A family is one authorization: all the tokens that descend from it.
type family struct {
	client, scope string
	current       string // its newest refresh token
	floor         uint64 // its access tokens numbered up to this are dead
	dead          bool
}

type accessToken struct {
	*family
	number  uint64
	expires time.Time
	revoked bool
}

type refreshToken struct {
	*family
	expires time.Time // zero: never
	spent   time.Time // zero: not yet
}

type code struct {
	*family
	redirect, challenge, method string
	expires                     time.Time
	spent                       bool
}

// A device waits for its user, whom pending polls stand for.
type device struct {
	*family
	interval  time.Duration
	pending   int
	slow      int    // polls that are told to come less often
	end       string // the error code in place of tokens; "": the user agrees
	lastAsked time.Time
	expires   time.Time
	spent     bool
}

func newGrants(set Settings) *grants {
	return &grants{
		set:     set,
		access:  newBounded[*accessToken](set.MaxEntries),
		refresh: newBounded[*refreshToken](set.MaxEntries),
		codes:   newBounded[*code](set.MaxEntries),
		devices: newBounded[*device](set.MaxEntries),
	}
}

// An issue says how tokens are to be made.
type issue struct {
	lifetime time.Duration
	leeway   time.Duration // in which a spent refresh token is forgiven
	rotate   bool
	keepOld  bool // access tokens survive a refresh
}

func (g *grants) plain() issue {
	return issue{lifetime: g.set.TokenLifetime, leeway: g.set.ReuseLeeway, rotate: true, keepOld: true}
}

// token spells a new token. Callers hold g.mu.
func (g *grants) token(prefix string) string {
	g.made++
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], g.set.Seed)
	binary.LittleEndian.PutUint64(b[8:], g.made)
	sum := sha256.Sum256(append(b[:], prefix...))
	return prefix + hex.EncodeToString(sum[:16])
}

// begin makes the first tokens of a new family.
func (g *grants) begin(f *family, withRefresh bool, how issue) Grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.issue(f, withRefresh, how)
}

// issue makes an access token, and a refresh token if asked. Callers hold g.mu.
func (g *grants) issue(f *family, withRefresh bool, how issue) Grant {
	now := time.Now()
	if withRefresh {
		f.current = g.token("sim-refresh-")
		r := &refreshToken{family: f}
		if g.set.RefreshLifetime > 0 {
			r.expires = now.Add(g.set.RefreshLifetime)
		}
		g.refresh.put(f.current, r)
	}
	a := &accessToken{family: f, expires: now.Add(how.lifetime)}
	name := g.token("sim-access-")
	a.number = g.made
	g.access.put(name, a)
	return Grant{AccessToken: name, RefreshToken: f.current, Scope: f.scope, Expires: a.expires}
}

// renew spends a refresh token. A token that was spent before kills its
// family (RFC 9700 section 4.14.2), unless it comes within the leeway: then
// it gets the family's newest refresh token again. reused says that it was.
func (g *grants) renew(token, client string, how issue) (grant Grant, reused bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	r, ok := g.refresh.get(token)
	switch {
	case !ok:
		return Grant{}, false, errUnknownToken
	case r.client != client:
		return Grant{}, false, errOtherClient
	case r.dead:
		return Grant{}, !r.spent.IsZero(), errRevoked
	case !r.expires.IsZero() && !now.Before(r.expires):
		return Grant{}, false, errExpired
	}
	reused = !r.spent.IsZero()
	if reused && now.Sub(r.spent) >= how.leeway {
		r.dead = true
		return Grant{}, true, errReused
	}
	if !how.keepOld {
		r.floor = g.made
	}
	rotate := how.rotate && !reused
	if rotate {
		r.spent = now
	}
	return g.issue(r.family, rotate, how), reused, nil
}

func (g *grants) revokeAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.revoked = g.made
}

// revoke kills the family of a refresh token, or one access token (RFC 7009).
func (g *grants) revoke(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r, ok := g.refresh.get(token); ok {
		r.dead = true
	}
	if a, ok := g.access.get(token); ok {
		a.revoked = true
	}
}

// live returns the access token, or why it is none.
func (g *grants) live(token string) (accessToken, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, ok := g.access.get(token)
	switch {
	case !ok:
		return accessToken{}, errUnknownToken
	case a.revoked || a.number <= max(g.revoked, a.floor) || a.dead:
		return *a, errRevoked
	case !time.Now().Before(a.expires):
		return *a, errExpired
	}
	return *a, nil
}

// Grant makes a family of tokens for a client, as if its user had just
// agreed: the first refresh token of a test or a demonstration.
func (s *Simulator) Grant(client, scope string) Grant {
	s.tally.tokens(func(t *TokenStats) { t.Issued++ })
	return s.grants.begin(&family{client: client, scope: scope}, true, s.grants.plain())
}
