package auth

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const sigV4Kind = "sigv4"

// SigV4Settings describe a credential that signs requests to AWS.
type SigV4Settings struct {
	// AccessKeyID, SecretAccessKey and SessionToken read what is configured, for every
	// attempt anew. They must not put a value into an error.
	AccessKeyID     func() (string, error) // needed
	SecretAccessKey func() (string, error) // needed
	SessionToken    func() (string, error) // nil: the key is no temporary one

	// Refused says that AWS did not take them, so that they are read anew the next
	// time, if that is possible. nil: it is not.
	Refused func()

	Scope            // a part that is "" follows from the host of each request: see ScopeOf
	ReplayBody int64 // the largest body that is kept for a second attempt, in bytes

	Placeholder string // see Token.Placeholder
	Origin      string // see Token.Origin
}

// SigV4 is a Source for AWS Signature Version 4. Its tokens do not say what to put
// into a request: they sign it, when it leaves.
type SigV4 struct {
	set   SigV4Settings
	ahead *atomic.Int64 // AWS's clock of ours, in nanoseconds, as far as it was told
	last  atomic.Pointer[signing]
}

// NewSigV4 checks the settings.
func NewSigV4(s SigV4Settings) (*SigV4, error) {
	if s.AccessKeyID == nil || s.SecretAccessKey == nil {
		return nil, errors.New("sigv4: needs an access key id and a secret access key")
	}
	return &SigV4{set: s, ahead: new(atomic.Int64)}, nil
}

// WithReplayBody returns a Source with the same keys and the same clock, for bodies of
// another size.
func (s *SigV4) WithReplayBody(most int64) *SigV4 {
	if most == s.set.ReplayBody {
		return s
	}
	set := s.set
	set.ReplayBody = most
	return &SigV4{set: set, ahead: s.ahead}
}

// Origin is where alone it is sent; "": wherever requests go.
func (s *SigV4) Origin() string { return s.set.Origin }

// Token gives what is configured now. Of a stale token it is read anew, where it can
// be.
func (s *SigV4) Token(_ context.Context, stale Token) (Token, error) {
	if stale != (Token{}) && s.set.Refused != nil {
		s.set.Refused()
	}
	read, err := s.read()
	if err != nil {
		return Token{}, &UnavailableError{Err: fmt.Errorf("sigv4: %w", err)}
	}
	keys := s.settle(read)
	return Token{
		Kind: sigV4Kind, Placeholder: s.set.Placeholder, Origin: s.set.Origin,
		Hidden: [maxHidden]Secret{keys.session}, Owner: keys.id, signing: keys,
	}, nil
}

func (s *SigV4) read() (signing, error) {
	keys := signing{set: &s.set, ahead: time.Duration(s.ahead.Load())}
	for _, part := range []struct {
		name string
		read func() (string, error)
		to   *Secret
	}{
		{"the access key id", s.set.AccessKeyID, &keys.id},
		{"the secret access key", s.set.SecretAccessKey, &keys.secret},
		{"the session token", s.set.SessionToken, &keys.session},
	} {
		if part.read == nil {
			continue
		}
		value, err := part.read()
		if err != nil {
			return signing{}, fmt.Errorf("reading %s: %w", part.name, err)
		}
		if err := sendable(part.name, value); err != nil {
			return signing{}, err
		}
		*part.to = NewSecret(value)
	}
	return keys, nil
}

// settle gives the one signing for all who read the same: tokens are equal as long as
// nothing has changed.
func (s *SigV4) settle(read signing) *signing {
	for {
		last := s.last.Load()
		if last != nil && *last == read {
			return last
		}
		if s.last.CompareAndSwap(last, &read) {
			return &read
		}
	}
}

// A signing is what requests are signed with. It is not changed: other keys, or a
// clock that was set right, are another one.
type signing struct {
	set                 *SigV4Settings
	id, secret, session Secret
	ahead               time.Duration // AWS's clock of ours
}

// scope is what a request to a host is signed for.
func (k *signing) scope(host string) (Scope, error) {
	scope, told := k.set.Scope, ScopeOf(host)
	if scope.Region == "" {
		scope.Region = told.Region
	}
	if scope.Service == "" {
		scope.Service = told.Service
	}
	var missing string
	switch {
	case scope.Region == "" && scope.Service == "":
		missing = "region and service"
	case scope.Region == "":
		missing = "region"
	case scope.Service == "":
		missing = "service"
	default:
		return scope, nil
	}
	return Scope{}, &UnavailableError{Err: fmt.Errorf("sigv4: the host %q does not tell the %s: set it", host, missing)}
}
