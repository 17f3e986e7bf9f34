package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A Static is a credential that does not expire, as somebody hands it over.
type Static struct {
	Username Secret // of basic; "": none
	Value    Secret // the password, of basic; "": none
	Origin   string // where alone it is sent: see Token.Origin
}

// IntroduceStatic is Introduce for what does not expire.
func IntroduceStatic(ctx context.Context, keeper Keeper, s Static) error {
	data, err := json.Marshal(keptStatic{Version: grantVersion, Kind: staticKind, //nolint:gosec // G117: for the Keeper, which is there to keep it
		Username: s.Username.Reveal(), Value: s.Value.Reveal(), Origin: s.Origin, Obtained: wallClock()})
	if err != nil {
		return errors.New("encoding the credential: the time is out of range") // nothing else can be wrong
	}
	unlock, err := shelf{keeper: keeper}.lock(ctx, introduceTimeout)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, keptTimeout)
	defer cancel()
	if err := keeper.Save(ctx, data); err != nil {
		return fmt.Errorf("saving the credential: %w", err)
	}
	return nil
}

// staticKind tells a keptStatic from a keptGrant.
const staticKind = "static"

// keptStatic is a credential that does not expire, in the form in which it is kept.
type keptStatic struct {
	Version  int       `json:"version"`
	Kind     string    `json:"kind"`
	Username string    `json:"username,omitempty"`
	Value    string    `json:"value,omitempty"`
	Origin   string    `json:"origin,omitempty"`
	Obtained time.Time `json:"obtained,omitzero"`
}

// Format writes what it is, for every verb.
func (keptStatic) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// decodeStatic reads what IntroduceStatic wrote. Its errors show nothing of the data.
func decodeStatic(data []byte) (*keptStatic, error) {
	var kept keptStatic
	err := json.Unmarshal(data, &kept)
	if err == nil && kept.Kind == staticKind && kept.Version != grantVersion {
		return nil, fmt.Errorf("the credential has version %d, and this program knows version %d", kept.Version, grantVersion)
	}
	if err != nil || kept.Kind != staticKind {
		return nil, errAnotherType
	}
	return &kept, nil
}

// errAnotherType says that a key is kept where a grant is wanted, or the other way around:
// the configuration has changed since.
var errAnotherType = errors.New("it is of another type than the upstream's credential: hand it over again")

// Inspect tells what data is that a Keeper has, without anything of it: when it was
// obtained, and when it expires. The State is StateNone: nobody uses it here.
func Inspect(data []byte) (OAuth2Status, error) {
	if has, err := decodeStatic(data); err == nil {
		return OAuth2Status{State: StateNone, Obtained: has.Obtained, Origin: has.Origin}, nil
	}
	g, err := decodeGrant(data)
	if err != nil {
		return OAuth2Status{}, err
	}
	return OAuth2Status{State: StateNone, Obtained: g.Obtained, Expires: g.Expires, Lapses: g.Lapses, Origin: g.Origin}, nil
}
