package auth

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
)

// A Kept is a Source of a credential that does not expire, such as an API key, and that
// is there only as long as a Keeper has it. It gives nothing before its first Look.
type Kept struct {
	set    Settings // without Value and Username
	keeper Keeper
	has    atomic.Pointer[used] // nil: it was not looked yet, or it was removed
}

// used is what a Kept found, and the Source of that.
type used struct {
	keptStatic
	data []byte // as the Keeper has it
	src  Source
}

// NewKept returns the Source of a credential of one of the kinds that have a value. Its
// settings have no Value and no Username: those are the Keeper's.
func NewKept(s Settings, keeper Keeper) (*Kept, error) {
	if !slices.Contains([]string{Bearer, Basic, Header, Query, Placeholder}, s.Type) {
		return nil, fmt.Errorf("type %q: has no value that could be kept", s.Type)
	}
	return &Kept{set: s, keeper: keeper}, nil
}

// Token gives what was kept when it was looked last. Of a stale one it looks again.
func (k *Kept) Token(ctx context.Context, stale Token) (Token, error) {
	if stale != (Token{}) {
		if _, err := k.Look(ctx); err != nil {
			return Token{}, &UnavailableError{Err: err}
		}
	}
	has := k.has.Load()
	if has == nil {
		return Token{}, &UnavailableError{Err: ErrRemoved}
	}
	return has.src.Token(ctx, Token{})
}

// Look reads what is kept now. After an error what was known holds.
func (k *Kept) Look(ctx context.Context) (found bool, err error) {
	for {
		had := k.has.Load()
		has, err := k.read(ctx, had)
		if err != nil {
			return false, fmt.Errorf("reading what is kept: %w", err)
		}
		if k.has.CompareAndSwap(had, has) { // or else another look has overtaken this one
			return has != nil, nil
		}
	}
}

// read gives what is kept: had if it is that still, nil if it is nothing.
func (k *Kept) read(ctx context.Context, had *used) (*used, error) {
	ctx, cancel := context.WithTimeout(ctx, keptTimeout)
	defer cancel()
	data, err := k.keeper.Load(ctx)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	if had != nil && bytes.Equal(had.data, data) {
		return had, nil
	}
	kept, err := decodeStatic(data)
	if err != nil {
		return nil, err
	}
	src, err := New(kept.settings(k.set))
	if err != nil {
		return nil, err
	}
	return &used{*kept, data, src}, nil
}

// settings are those of a Source that does not change. A part that is empty is none.
func (kept *keptStatic) settings(s Settings) Settings {
	part := func(value string) func() (string, error) {
		if value == "" && s.Type == Basic {
			return nil
		}
		return func() (string, error) { return value, nil }
	}
	s.Value, s.Username, s.Origin = part(kept.Value), part(kept.Username), kept.Origin
	return s
}

// Removed reports that nothing was kept when it was looked last.
func (k *Kept) Removed() bool { return k.has.Load() == nil }

// Status tells how the credential is now.
func (k *Kept) Status() OAuth2Status {
	has := k.has.Load()
	if has == nil {
		return OAuth2Status{State: StateNone}
	}
	return OAuth2Status{State: StateLive, Usable: true, Obtained: has.Obtained, Origin: has.Origin}
}

// Origin is where alone it is sent, as it was kept when it was looked last; "": wherever
// requests go.
func (k *Kept) Origin() string {
	if has := k.has.Load(); has != nil {
		return has.Origin
	}
	return ""
}

// Close does nothing: there is nothing to wait for.
func (k *Kept) Close() {}
