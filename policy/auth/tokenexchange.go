package auth

// TokenExchange is what is given for a token, and what for (RFC 8693 §2.1).
type TokenExchange struct {
	SubjectToken     func() (string, error) // of whom the new token will be; read for each request, since it may be a file that rotates
	SubjectTokenType string                 // a URI (RFC 8693 §3)
	ActorToken       func() (string, error) // of who acts; nil: the subject itself
	ActorTokenType   string                 // a URI; goes with ActorToken

	RequestedTokenType string // a URI; "": the server's choice
	Resource           string // where the new token will be used, a URI; "": not said
}

// exchangeParams are those of the grant token_exchange.
func (o *OAuth2) exchangeParams(a *attempt) ([]param, error) {
	x := &o.set.Exchange
	params := []param{{"subject_token", a.who.subjectToken}, {"subject_token_type", NewSecret(x.SubjectTokenType)}}
	if x.ActorToken != nil {
		params = append(params, param{"actor_token", a.who.actorToken}, param{"actor_token_type", NewSecret(x.ActorTokenType)})
	}
	if x.RequestedTokenType != "" {
		params = append(params, param{"requested_token_type", NewSecret(x.RequestedTokenType)})
	}
	if x.Resource != "" {
		params = append(params, param{"resource", NewSecret(x.Resource)})
	}
	return params, nil
}

// checkExchange gives what is wrong with a grant token_exchange.
func (s *OAuth2Settings) checkExchange(wrong func(string, ...any)) {
	x := &s.Exchange
	if x.SubjectToken == nil || x.SubjectTokenType == "" {
		wrong("token_exchange needs a subject token and its type")
	}
	if (x.ActorToken == nil) != (x.ActorTokenType == "") {
		wrong("an actor token and its type come together")
	}
}
