package config

import (
	"encoding"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The readers turn one raw value into its type, or report what it should be.
// The field constructors below give them the names that keys.go uses.

func text[T any](key string, at func(*T) *string, checks ...check[string]) field[T] {
	return value(key, at, readText, checks...)
}

func integer[T any](key string, at func(*T) *int, checks ...check[int]) field[T] {
	return value(key, at, readInt, checks...)
}

func flag[T any](key string, at func(*T) *bool, checks ...check[bool]) field[T] {
	return value(key, at, readBool, checks...)
}

func share[T any](key string, at func(*T) *float64, checks ...check[float64]) field[T] {
	return value(key, at, readShare, checks...)
}

func duration[T any](key string, at func(*T) *time.Duration) field[T] {
	return value(key, at, readDuration, func(d time.Duration) string {
		if d <= 0 {
			return "must be longer than 0"
		}
		return ""
	})
}

// secret is a reference that earns a warning when it is the secret itself.
func secret[T any](key string, at func(*T) *Reference) field[T] {
	return value(key, at, readSecret)
}

func readSecret(n node) (Reference, bool) {
	ref, ok := readReference(n)
	if ok && ref.Literal() {
		n.warnLiteral()
	}
	return ref, ok
}

// identity is a reference that may as well be a literal: a user name.
func identity[T any](key string, at func(*T) *Reference) field[T] {
	return value(key, at, readReference)
}

func (n node) warnLiteral() { n.warn("literal secret; use env:NAME or file:PATH") }

func readText(n node) (string, bool) {
	s, ok := n.raw.(string)
	if !ok {
		n.fail("must be text in quotes")
	}
	return s, ok
}

// readHidden reads text that no message repeats.
func readHidden(n node) (string, bool) {
	s, ok := n.raw.(string)
	switch {
	case !ok:
		n.deny("must be text in quotes")
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		n.deny("must not hold line breaks or control characters")
		return "", false
	}
	return s, ok
}

// largest bounds every count of the document: more is a slip of the keyboard,
// and arithmetic with it could overflow.
const largest = 1_000_000_000

func readInt(n node) (int, bool) {
	i, ok := n.raw.(int64)
	switch {
	case !ok:
		n.fail("must be a whole number without quotes")
	case i < -largest || i > largest:
		n.failf("must be at most %d", largest)
		return 0, false
	}
	return int(i), ok
}

func readBool(n node) (bool, bool) {
	b, ok := n.raw.(bool)
	if !ok {
		n.fail("must be true or false, without quotes")
	}
	return b, ok
}

func readShare(n node) (float64, bool) {
	switch v := n.raw.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	}
	r, ok := readEncoded[Ratio](n, errRatio)
	return float64(r), ok
}

func readDuration(n node) (time.Duration, bool) {
	d, ok := readEncoded[Duration](n, errDuration)
	return time.Duration(d), ok
}

func readSize(n node) (int64, bool) {
	s, ok := readEncoded[Size](n, errSize)
	return int64(s), ok
}

func readRate(n node) (Rate, bool) { return readEncoded[Rate](n, errRate) }

// readEncoded reads what stands in quotes and has a form of its own.
func readEncoded[V any, P interface {
	*V
	encoding.TextUnmarshaler
}](n node, form error) (v V, ok bool) {
	s, ok := n.raw.(string)
	if !ok || P(&v).UnmarshalText([]byte(s)) != nil {
		n.fail(form.Error())
		return v, false
	}
	return v, true
}

// readReference never shows the value: whatever stands here may be the secret.
func readReference(n node) (Reference, bool) {
	const form = `must be a secret reference in quotes: "env:NAME", "file:/path", "exec:command args" or "keyring:NAME"`
	s, ok := n.raw.(string)
	if !ok {
		n.deny(form)
		return "", false
	}
	if problem := referenceProblem(s); problem != "" {
		n.deny(problem)
		return "", false
	}
	return Reference(s), true
}

func readPrefix(n node) (netip.Prefix, bool) {
	const form = `must be a network, such as "10.1.0.0/16"`
	s, ok := n.raw.(string)
	if !ok {
		n.fail(form)
		return netip.Prefix{}, false
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		n.failf("%s; write %q for this one address", form, netip.PrefixFrom(addr, addr.BitLen()))
		return netip.Prefix{}, false
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		n.fail(form)
	case prefix.Addr().Is4In6():
		n.fail("must be written as an IPv4 network")
	case prefix != prefix.Masked():
		n.failf("has bits behind its prefix: write %q for the network, or %q for the one address",
			prefix.Masked(), netip.PrefixFrom(prefix.Addr(), prefix.Addr().BitLen()))
	default:
		return prefix, true
	}
	return netip.Prefix{}, false
}

func between(low, high int) check[int] {
	return func(v int) string {
		switch {
		case v < low:
			return fmt.Sprintf("must be at least %d", low)
		case v > high:
			return fmt.Sprintf("must be at most %d", high)
		}
		return ""
	}
}

func oneOf(names ...string) check[string] {
	return func(v string) string {
		if slices.Contains(names, v) {
			return ""
		}
		return "must be one of " + strings.Join(names, ", ") + Suggestion(v, names)
	}
}

func notEmpty(v string) string {
	if v == "" {
		return "must not be empty"
	}
	return ""
}

func upToAll(v float64) string {
	if math.IsNaN(v) || v < 0 || v > 1 {
		return `must be from 0 to 1, or from "0%" to "100%"`
	}
	return ""
}

func someUpToAll(v float64) string {
	if v == 0 || upToAll(v) != "" {
		return `must be more than 0 and at most 1 ("100%")`
	}
	return ""
}
