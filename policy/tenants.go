package policy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"outrider/policy/auth"
	"outrider/policy/config"
)

// A ConnectionError says why a connection cannot be handed over or removed: it is not the
// store's, or cannot be.
type ConnectionError struct{ Problem string }

func (e *ConnectionError) Error() string { return e.Problem }

// TakesHandover reports why the store cannot have connections of this upstream, as a
// *ConnectionError; nil: it can.
func (u *Upstream) TakesHandover() error { return u.takesHandover("") }

// takesHandover reports why the store cannot have a connection of this name.
func (u *Upstream) takesHandover(name string) error {
	a := u.Config.Auth
	switch {
	case u.template == nil && config.Connectable(a):
		return &ConnectionError{"upstream." + u.Config.Name + " has auth of " + strings.TrimSpace(a.Type+" "+a.Grant) + ", of which there is nothing to hand over: give it a table [upstream." + u.Config.Name + ".connection.NAME]"}
	case u.template == nil:
		return &ConnectionError{"upstream." + u.Config.Name + " has no connections: its auth is " + a.Type}
	case u.named[name] != nil && a.Grant != "authorization_code":
		return &ConnectionError{"upstream." + u.Config.Name + ".connection." + name + " is in the configuration, which goes before the store: change it there"}
	case name == "":
		return nil
	}
	if problem := config.ConnectionName(name); problem != "" {
		return &HandoverError{"name", problem}
	}
	return nil
}

// HandOver puts a credential in the store, in place of what was there; created is false
// if something was. From then on it is the newest, for all processes that share the
// store: others notice within seconds, and before they refresh.
func (u *Upstream) HandOver(ctx context.Context, h *Handover) (created bool, err error) {
	keeper, err := u.template.keep(h.Name)
	if err != nil {
		return false, err
	}
	before, err := keeper.Load(ctx)
	if err != nil {
		return false, err
	}
	if u.Config.Auth.Type == "oauth2" {
		err = auth.Introduce(ctx, keeper, h.pair)
	} else {
		err = auth.IntroduceStatic(ctx, keeper, h.static)
	}
	if err != nil {
		return false, err
	}
	result := "replaced"
	if len(before) == 0 {
		result = "created"
	}
	u.changed(ctx, h.Name, result)
	return len(before) == 0, nil
}

// RemoveConnection has the store forget a connection. Calls that name it are refused from
// then on, in all processes that share the store within seconds.
func (u *Upstream) RemoveConnection(ctx context.Context, name string) (found bool, err error) {
	if err := u.takesHandover(name); err != nil {
		return false, err
	}
	keeper, err := u.template.keep(name)
	if err != nil {
		return false, err
	}
	forgetter, ok := keeper.(auth.Forgetter)
	if !ok {
		return false, errCannotForget
	}
	pair, err := auth.Forget(ctx, forgetter)
	if err == nil && pair != nil {
		u.changed(ctx, name, "removed")
	}
	return pair != nil, err
}

// changed lets what is in memory follow, and tells of it.
func (u *Upstream) changed(ctx context.Context, name, result string) {
	u.connections.expire(name)
	if source, ok := u.named[name].(keptSource); ok { // of a login; what cannot be read now will be
		_, _ = source.Look(ctx)
	}
	u.template.tell(ctx, name, result)
}

// A ConnectionStatus is the state of one connection. It holds no value.
type ConnectionStatus struct {
	Upstream string `json:"upstream"`
	From     string `json:"from"`          // "configuration" or "store"
	URL      string `json:"url,omitempty"` // where alone it is; "": where calls of the upstream go
	CredentialStatus
}

// The values of ConnectionStatus.From.
const (
	fromFile  = "configuration"
	fromStore = "store"
)

// Connection gives the state of one connection. The error is an *UnknownConnectionError
// where there is none.
func (u *Upstream) Connection(ctx context.Context, name string) (ConnectionStatus, error) {
	if u.named[name] != nil {
		return u.namedStatus(name), nil
	}
	unknown := &UnknownConnectionError{Name: name, Why: config.ConnectionName(name)}
	if u.template == nil || unknown.Why != "" {
		return ConnectionStatus{}, unknown
	}
	status, found, err := u.keptStatus(ctx, name, u.connections.sources()[name])
	if err == nil && !found {
		err = unknown
	}
	return status, err
}

// Connections lists the connections of the configuration and of the store in the order
// of their names, at most limit, from the one after a name on. next is the name to go on
// after; "": there are no others. A list may be shorter than limit and have a next:
// connections may go while they are listed.
func (u *Upstream) Connections(ctx context.Context, after string, limit int) (list []ConnectionStatus, next string, err error) {
	names, err := u.connectionNames(ctx, after, limit+1)
	if err != nil {
		return nil, "", err
	}
	if len(names) > limit {
		names, next = names[:limit], names[limit-1]
	}
	used := u.connections.sources()
	for _, name := range names {
		if u.named[name] != nil {
			list = append(list, u.namedStatus(name))
			continue
		}
		status, found, err := u.keptStatus(ctx, name, used[name])
		if err != nil {
			return nil, "", err
		}
		if found {
			list = append(list, status)
		}
	}
	return list, next, nil
}

func (u *Upstream) connectionNames(ctx context.Context, after string, limit int) ([]string, error) {
	names := slices.Collect(maps.Keys(u.named))
	names = slices.DeleteFunc(names, func(name string) bool { return name <= after })
	if u.template != nil && u.template.kept != nil {
		prefix := ConnectionID(u.Config.Name, "") + "/"
		kept, err := u.template.kept(ctx, prefix, prefix+after, limit)
		if err != nil {
			return nil, err
		}
		for _, id := range kept {
			names = append(names, strings.TrimPrefix(id, prefix))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), limit)], nil
}

func (u *Upstream) namedStatus(name string) ConnectionStatus {
	status := ConnectionStatus{u.Config.Name, fromFile, authOf(u.Config, name).Origin, CredentialStatus{Name: name, State: "static", Usable: true}}
	if fetched := u.credentials[ConnectionCredential(name)]; fetched != nil {
		status.URL, status.CredentialStatus = fetched.source.Origin(), fetched.status(name)
	}
	return status
}

// keptStatus tells of a connection of the store: by its source where it is in use, and
// otherwise by what is kept.
func (u *Upstream) keptStatus(ctx context.Context, name string, used keptSource) (status ConnectionStatus, found bool, err error) {
	keeper, err := u.template.keep(name)
	if err != nil {
		return status, false, err
	}
	data, err := keeper.Load(ctx)
	if err != nil || len(data) == 0 {
		return status, false, err
	}
	if used != nil {
		return u.stored(name, used.Status()), true, nil
	}
	known, err := auth.Inspect(data)
	if err != nil {
		known.State, known.Err = auth.StateFailing, fmt.Errorf("reading what is kept: %w", err)
	}
	return u.stored(name, known), true, nil
}

// stored is the state of a connection of the store.
func (u *Upstream) stored(name string, s auth.OAuth2Status) ConnectionStatus {
	return ConnectionStatus{u.Config.Name, fromStore, s.Origin, credentialStatus(name, loginCommand(u.Config.Name, ConnectionCredential(name), u.Config.Auth), s)}
}

// A ConnectionsStatus sums the connections of an upstream up: there may be thousands.
type ConnectionsStatus struct {
	Configured int                `json:"configured"`
	Used       int                `json:"used"`            // of the store's, those in memory: used lately
	States     map[string]int     `json:"states"`          // of both → how many
	First      []ConnectionStatus `json:"first,omitempty"` // at most 20, those in trouble first
}

// shownConnections bounds ConnectionsStatus.First.
const shownConnections = 20

// connectionsStatus is nil where there are none.
func (u *Upstream) connectionsStatus() *ConnectionsStatus {
	used := u.connections.sources()
	if len(u.named)+len(used) == 0 {
		return nil
	}
	s := &ConnectionsStatus{Configured: len(u.named), Used: len(used), States: make(map[string]int)}
	all := make([]ConnectionStatus, 0, len(u.named)+len(used))
	for name := range u.named {
		all = append(all, u.namedStatus(name))
	}
	for name, source := range used {
		all = append(all, u.stored(name, source.Status()))
	}
	for _, c := range all {
		s.States[c.State]++
	}
	slices.SortFunc(all, func(a, b ConnectionStatus) int {
		if worse := trouble(b.CredentialStatus) - trouble(a.CredentialStatus); worse != 0 {
			return worse
		}
		return strings.Compare(a.Name, b.Name)
	})
	s.First = all[:min(len(all), shownConnections)]
	return s
}

// trouble is how much somebody should look at a credential.
func trouble(c CredentialStatus) int {
	switch {
	case c.State == auth.StateDead:
		return 3
	case c.NotKept != "":
		return 2
	case c.State == auth.StateFailing:
		return 1
	}
	return 0
}
