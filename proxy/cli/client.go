package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"outrider/policy/config"
)

// adminTimeout bounds a question to a running Outrider.
const adminTimeout = 5 * time.Second

// ask gets a document from the admin port of a running Outrider. The way there
// never leads through a proxy: the proxy is who we ask.
func (c *commands) ask(ctx context.Context, path string, query url.Values, answer any) error {
	address, key, err := c.adminAddress()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: "http", Host: hostOfAdmin(address), Path: path, RawQuery: query.Encode()}).String(), nil)
	if err != nil {
		return err
	}
	if key != "" {
		req.Header.Set("Outrider-Key", key)
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialAt(ctx, address) },
	}}
	resp, err := client.Do(req)
	if err != nil {
		if plain, ok := errors.AsType[*url.Error](err); ok {
			err = plain.Err // its own text repeats the address
		}
		return fmt.Errorf("no Outrider answers at %s (start it with outrider run, or name its admin address with --admin): %w", address, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var problem struct{ Title, Detail string }
		_ = json.Unmarshal(data, &problem)
		return fmt.Errorf("%s answered %s: %s %s", address, resp.Status, problem.Title, problem.Detail)
	}
	return json.Unmarshal(data, answer)
}

// hostOfAdmin is the Host of a question; a socket has none, and is local.
func hostOfAdmin(address string) string {
	if strings.HasPrefix(address, unixScheme) {
		return "localhost"
	}
	return address
}

// adminAddress is where a running Outrider listens for us, and its key.
func (c *commands) adminAddress() (address, key string, err error) {
	file := &config.File{}
	if _, data, err := c.source(); err == nil {
		if parsed, err := config.Parse("", data); err == nil {
			file = parsed
		}
	}
	address = c.admin
	if address == "" {
		address = os.Getenv("OUTRIDER_ADMIN")
	}
	if address == "" {
		address = file.Admin
	}
	if address == "" {
		address = config.Default().Admin
	}
	if host, port, err := net.SplitHostPort(address); err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	if file.AccessKey != "" {
		if key, err = newSecrets().get(file.AccessKey); err != nil {
			return "", "", usageError{fmt.Errorf("access_key: %w", err)}
		}
	}
	return address, key, nil
}
