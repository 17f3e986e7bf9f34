package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A grant is what a token endpoint gave us: what is sent upstream, and what gets
// the next one. It is not changed once it was made.
type grant struct {
	version

	Access   Secret // "": there is only the way to get one
	Refresh  Secret // "": the grant has none
	Previous Secret // the refresh token before, which some providers take for a while

	Seed   string // mark of the configured refresh token that this descends from; "": of none
	Former string // marks of configured refresh tokens before that one, separated by spaces
	Origin string // see Token.Origin; "": it was introduced without one
	Terms  string // mark of what was asked for: scopes, audience, client; "": that is not known, see Introduce

	Obtained time.Time     // wall clock
	Expires  time.Time     // wall clock; zero: the provider did not say
	Lapses   time.Time     // wall clock: when the refresh token does, if it is not used by then; zero: the provider did not say
	Learned  time.Duration // the shortest age at which the upstream refused a token; 0: none yet
	Forced   int           // how many refreshes in a row an upstream's 401 caused, up to this one
}

// formerSeeds is how many marks Former has at most.
const formerSeeds = 16

// former are the seeds before another one.
func (g *grant) former() string {
	all := append(strings.Fields(g.Former), strings.Fields(g.Seed)...)
	return strings.Join(all[max(0, len(all)-formerSeeds):], " ")
}

// A version tells the grants of one credential apart, whatever the clocks of the
// processes that share it say.
type version struct {
	Login      string // names the login or the hand-over that this comes after, see Introduce; "": there was none
	Generation int    // counts the refreshes since: a successor has one more than what it was refreshed with
}

// newer reports whether g came after old, of the same login.
func (g *grant) newer(old *grant) bool {
	if g.Login != old.Login {
		return false
	}
	if later, earlier := g.reseeds(old), old.reseeds(g); later != earlier {
		return later
	}
	if g.Generation != old.Generation {
		return g.Generation > old.Generation
	}
	return g.Obtained.After(old.Obtained)
}

// reseeds reports whether g descends from a refresh token that was configured after that of
// old: however often a process has refreshed the one before, and could not save it.
func (g *grant) reseeds(old *grant) bool {
	return g.Seed != "" && g.Seed != old.Seed && (old.Seed == "" || slices.Contains(strings.Fields(g.Former), old.Seed))
}

// replaces reports whether g, which is kept, goes before what a process has in memory.
// Of two logins that is the one that is kept: what was replaced, or removed, does not
// come back.
func (g *grant) replaces(had *grant) bool { return g.Login != had.Login || g.newer(had) }

// living reports whether the access token may be sent, as far as clocks know.
func (g *grant) living(now time.Time) bool {
	return g.Access != (Secret{}) && (g.Expires.IsZero() || now.Before(g.Expires))
}

// end is when the access token dies, as far as that is known; zero: it is not.
func (g *grant) end() time.Time {
	if g.Expires.IsZero() && g.Learned > 0 {
		return g.Obtained.Add(g.Learned)
	}
	return g.Expires
}

// wallClock is the time without its monotonic reading: that stands still while a
// laptop sleeps, and a token does not.
func wallClock() time.Time { return time.Now().Round(0) }

// mark names a text without showing it: it has to be long, or no secret.
func mark(text string) string {
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// grantVersion is the version of keptGrant.
const grantVersion = 1

// keptGrant is a grant in the form in which it is kept.
type keptGrant struct {
	Version    int       `json:"version"`
	Kind       string    `json:"kind,omitempty"` // "" of a grant, see keptStatic
	Login      string    `json:"login,omitempty"`
	Generation int       `json:"generation"`
	Access     string    `json:"access_token,omitempty"`
	Refresh    string    `json:"refresh_token,omitempty"`
	Previous   string    `json:"previous_refresh_token,omitempty"`
	Seed       string    `json:"seed,omitempty"`
	Former     string    `json:"former_seeds,omitempty"`
	Origin     string    `json:"origin,omitempty"`
	Terms      string    `json:"terms,omitempty"`
	Obtained   time.Time `json:"obtained,omitzero"`
	Expires    time.Time `json:"expires,omitzero"`
	Lapses     time.Time `json:"refresh_expires,omitzero"`
	Learned    string    `json:"learned_lifetime,omitempty"`
	Forced     int       `json:"forced,omitempty"`
}

func (g *grant) encode() ([]byte, error) {
	kept := keptGrant{
		Version: grantVersion, Login: g.Login, Generation: g.Generation,
		Access: g.Access.Reveal(), Refresh: g.Refresh.Reveal(), Previous: g.Previous.Reveal(),
		Seed: g.Seed, Former: g.Former, Origin: g.Origin, Terms: g.Terms, Obtained: g.Obtained, Expires: g.Expires, Lapses: g.Lapses, Forced: g.Forced,
	}
	if g.Learned > 0 {
		kept.Learned = g.Learned.String()
	}
	data, err := json.Marshal(kept) //nolint:gosec // G117: for the Keeper, which is there to keep it
	if err != nil {
		return nil, errors.New("encoding the grant: a time is out of range") // nothing else can be wrong
	}
	return data, nil
}

// decodeGrant reads what encode wrote. Its errors show nothing of the data.
func decodeGrant(data []byte) (*grant, error) {
	var kept keptGrant
	err := json.Unmarshal(data, &kept)
	if kept.Version != grantVersion && kept.Version != 0 {
		return nil, fmt.Errorf("the grant has version %d, and this program knows version %d", kept.Version, grantVersion)
	}
	switch {
	case err != nil || kept.Version == 0:
		return nil, errors.New("it is not a grant")
	case kept.Kind != "":
		return nil, errAnotherType
	}
	g := &grant{
		version: version{kept.Login, kept.Generation},
		Access:  NewSecret(kept.Access), Refresh: NewSecret(kept.Refresh), Previous: NewSecret(kept.Previous),
		Seed: kept.Seed, Former: kept.Former, Origin: kept.Origin, Terms: kept.Terms, Obtained: kept.Obtained, Expires: kept.Expires, Lapses: kept.Lapses, Forced: kept.Forced,
	}
	if kept.Learned != "" {
		if g.Learned, err = time.ParseDuration(kept.Learned); err != nil {
			return nil, errors.New("it is not a grant: learned_lifetime")
		}
	}
	return g, nil
}
