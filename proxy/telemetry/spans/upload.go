package spans

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// An Uploader sends batches to a collector, by a client that knows how: where to, by which
// protocol, with what header, and when to try again.
type Uploader struct {
	client      otlptrace.Client
	decode      bool
	resource    *resourcepb.Resource
	resourceURL string // schema
	scope       *commonpb.InstrumentationScope
	scopeURL    string // schema
}

// NewUploader starts the client. decode says that it reads spans, as one must that sends
// them as JSON, and does not only pass them on.
func NewUploader(ctx context.Context, client otlptrace.Client, decode bool, res *resource.Resource, scope instrumentation.Scope) (*Uploader, error) {
	u := &Uploader{
		client: client, decode: decode,
		resource: &resourcepb.Resource{}, resourceURL: res.SchemaURL(),
		scope:    &commonpb.InstrumentationScope{Name: scope.Name, Version: scope.Version},
		scopeURL: scope.SchemaURL,
	}
	if err := proto.Unmarshal(appendAttributes(nil, 1, res.Attributes()), u.resource); err != nil {
		return nil, fmt.Errorf("describing the process to a collector: %w", err)
	}
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	return u, nil
}

// Upload sends a batch, of which nothing is kept.
func (u *Uploader) Upload(ctx context.Context, batch Batch) error {
	spans := &tracepb.ScopeSpans{Scope: u.scope, SchemaUrl: u.scopeURL}
	if u.decode {
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(batch.Spans, spans); err != nil {
			return fmt.Errorf("reading spans to be sent as JSON: %w", err)
		}
	} else {
		// To the message these are fields that it does not know. It writes them as they
		// are, and to whoever reads that they are spans as any others.
		spans.ProtoReflect().SetUnknown(batch.Spans)
	}
	return u.client.UploadTraces(ctx, []*tracepb.ResourceSpans{{
		Resource: u.resource, SchemaUrl: u.resourceURL, ScopeSpans: []*tracepb.ScopeSpans{spans},
	}})
}

// Stop ends the client.
func (u *Uploader) Stop(ctx context.Context) error { return u.client.Stop(ctx) }
