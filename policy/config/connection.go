package config

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// A Connection is one of several credentials of an upstream, such as that of one
// tenant. Calls choose it by its name.
type Connection struct {
	Name string
	Auth Auth // whole: the upstream's, with what the connection says
}

// longestName bounds the name of a connection, in bytes.
const longestName = 128

// ConnectionName says what is wrong with the name of a connection; "" for nothing. It
// stands in headers, in paths of URLs and in names of what is kept.
func ConnectionName(name string) (problem string) {
	odd := strings.ContainsFunc(name, func(r rune) bool {
		return r >= 0x80 || !isAlphanumeric(byte(r)) && !strings.ContainsRune("._~-", r)
	})
	if name == "" || name == "." || name == ".." || len(name) > longestName || odd {
		return "the name of a connection has 1 to 128 letters, digits, -, _, . and ~"
	}
	return ""
}

// The values of Upstream.Connections.
const (
	ConnectionsOptional = "optional" // a call that names none gets the upstream's own credential
	ConnectionsRequired = "required" // a call has to name one
)

// connectionKeys may stand in a connection.
var connectionKeys = slices.Concat(table[Auth]{text("url", func(a *Auth) *string { return &a.Origin })}, authKeys)

// connections is known here and read by readConnections, once the upstream is complete:
// connections stand on its credential.
func connections(key string) field[Upstream] {
	var below []string
	for _, path := range connectionKeys.paths() {
		below = append(below, "NAME."+path)
	}
	return field[Upstream]{key, func(n node, _ *Upstream) {
		if _, ok := n.raw.(map[string]any); !ok {
			n.noTable("must be a table for each connection: [%s.NAME]", n.path)
		}
	}, below}
}

func readConnections(all, auth node, u *Upstream) {
	named, _ := all.raw.(map[string]any)
	soundAuth := auth.soundBelow()
	for _, name := range slices.Sorted(maps.Keys(named)) {
		n := all.child(name)
		if problem := ConnectionName(name); problem != "" {
			n.deny(problem)
		}
		c := Connection{Name: name, Auth: u.Auth}
		c.Auth.SessionToken = "" // it belongs to its access key
		c.Auth.Expires = time.Time{}
		connectionKeys.read(n, &c.Auth)
		if n.has("url") && n.sound("url") && u.URL != nil {
			origin, problem := u.ConnectionOrigin(c.Auth.Origin)
			if c.Auth.Origin = origin; problem != "" {
				n.child("url").deny(problem)
			}
		}
		if _, ok := n.raw.(map[string]any); ok && soundAuth {
			connectionAgrees(n, auth, u.Auth, &c.Auth)
		}
		u.Named = append(u.Named, c)
	}
}

// owned maps a kind, or a grant of oauth2, → what each connection has to have of its
// own. Of others anything that differs will do.
var owned = map[string][]string{
	"bearer":        {"token"},
	"basic":         {"username", "password"},
	"header":        {"value"},
	"query":         {"value"},
	"placeholder":   {"value"},
	"sigv4":         {"access_key_id", "secret_access_key"},
	"refresh_token": {"refresh_token"},
}

// ownedBy are the keys of owned for a credential.
func ownedBy(a Auth) []string {
	if a.Type == "oauth2" {
		return owned[a.Grant]
	}
	return owned[a.Type]
}

// connectionAgrees holds a connection to its upstream's credential: it is of the same
// kind, and no half of one secret is sent with half of another.
func connectionAgrees(n, auth node, upstream Auth, own *Auth) {
	if !Connectable(upstream) {
		n.deny("has nothing to stand on: auth of the upstream is " + upstream.Type + ", which has no value")
		return
	}
	kind := authKinds[slices.IndexFunc(authKinds, func(k authKind) bool { return k.name == upstream.Type })]
	written, _ := n.raw.(map[string]any)
	if len(written) == 0 {
		n.deny("is empty: say what it has of its own, of " + kind.takes())
		return
	}
	for _, key := range authKeys.names() {
		place := n.child(key)
		switch {
		case !n.has(key):
			continue
		case key == "type" || key == "grant":
			place.deny("is the same for all connections of an upstream: it belongs into auth")
		case key == "expires":
		case !slices.Contains(kind.needs, key) && !slices.Contains(kind.may, key):
			place.deny("does not belong to type " + kind.name + ", which takes " + kind.takes())
		case upstream.Type == "oauth2" && !n.has("grant") && slices.Contains(grantKeys(), key) && !grantOf(own.Grant).takes(key, &own.OAuth2):
			grantOf(own.Grant).refuse(place, key)
		}
	}
	if !n.soundBelow() {
		return // one fault, one message
	}
	for _, key := range ownedBy(upstream) {
		if !n.has(key) {
			n.child(key).deny("is missing: each connection has its own")
		} else if n.child(key).raw == "" && key != "password" {
			n.child(key).deny("must not be empty")
		}
	}
	partsAgree(n, auth)
	if !n.soundBelow() {
		return
	}
	switch upstream.Type {
	case "oauth2":
		if n.has("client_auth") && !sendsSecret(own.ClientAuth) && !n.has("client_secret") {
			own.ClientSecret = "" // it shows who it is in another way than the upstream's client
		}
		grantOf(own.Grant).agrees(n, &own.OAuth2)
	case serviceAccount:
		serviceAccountAgrees(n, &own.OAuth2)
	}
}

// partners are parts of one secret: who gives the first has to give the second, where the
// upstream has one.
var partners = []struct{ first, second string }{
	{"client_id", "client_secret"}, {"client_id", "private_key"}, {"client_id", "client_assertion"}, {"client_secret", "client_id"},
	{"app_id", "private_key"}, {"issuer", "private_key"}, {"private_key", "key_id"}, {"private_key", "certificate"}, {"key_id", "private_key"},
}

// partsAgree reports a secret that is only half a connection's own.
func partsAgree(n, auth node) {
	for _, p := range partners {
		if n.has(p.first) && auth.has(p.second) && !n.has(p.second) && n.sound(p.second) {
			n.child(p.second).deny("is missing: the upstream's does not belong to this " + p.first)
		}
	}
}

// connected prepares for an upstream with connections: what each of them brings may be
// missing of the upstream's own credential.
func connected(n node) {
	required, written := n.child("connections").raw.(string)
	if required == ConnectionsRequired || !written && n.has("connection") {
		n.log.connected[n.child("auth").path] = true
	}
}

// excused reports whether a key may be missing of the auth table n. One that has a part
// of a secret has to have the rest.
func (n node) excused(key string, a Auth) bool {
	return n.log.connected[n.path] && slices.Contains(ownedBy(a), key) && !slices.ContainsFunc(ownedBy(a), n.has)
}

// requireConnections settles whether a call has to name a connection: where the
// upstream has no credential of its own it has to, in any case.
func requireConnections(n node, u *Upstream) {
	auth := n.child("auth")
	for _, key := range ownedBy(u.Auth) {
		if auth.excused(key, u.Auth) {
			u.Connections = ConnectionsRequired
		}
	}
	if u.Connections == ConnectionsRequired && n.sound("connections") && auth.soundBelow() && !Connectable(u.Auth) {
		n.child("connections").failf("needs an auth that takes connections, and this is %s", u.Auth.Type)
	}
}

// Connectable reports whether there can be several credentials of a kind: whether it has
// a value.
func Connectable(a Auth) bool {
	return slices.ContainsFunc(authKinds, func(k authKind) bool { return k.name == a.Type && len(k.needs) > 0 })
}
