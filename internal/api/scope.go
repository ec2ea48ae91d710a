package api

import (
	"fmt"
	"slices"
	"strings"

	"parley/gen/parley/api/v1/apiv1connect"
	"parley/internal/chat"
	"parley/internal/identity"
)

// The scopes that a token can have. messages:send can be narrowed to one
// conversation: messages:send:people/{account}.
const (
	scopeRead        = "messages:read"
	scopeSend        = "messages:send"
	scopePeopleRead  = "people:read"
	scopePeopleWrite = "people:write"
	scopeNetwork     = "network:read"
	scopeEvents      = "events:read"
)

var allScopes = []string{scopeRead, scopeSend, scopePeopleRead, scopePeopleWrite, scopeNetwork, scopeEvents}

// rule says who may call a method.
type rule struct {
	scope string // a token needs it; "" means any token
	owner bool   // no token may: the page and the socket
	local bool   // the socket only
}

// rules has every method of the API: one that is missing is not served.
var rules = map[string]rule{
	apiv1connect.NodeServiceGetStatusProcedure:  {scope: scopeNetwork},
	apiv1connect.NodeServiceDoctorProcedure:     {owner: true},
	apiv1connect.NodeServiceListConfigProcedure: {owner: true},
	apiv1connect.NodeServiceStopProcedure:       {local: true},

	apiv1connect.IdentityServiceGetIdentityProcedure:     {},
	apiv1connect.IdentityServiceSetProfileProcedure:      {owner: true},
	apiv1connect.IdentityServiceGetPhraseProcedure:       {owner: true},
	apiv1connect.IdentityServiceCreateInviteProcedure:    {scope: scopePeopleWrite},
	apiv1connect.IdentityServiceGetSafetyNumberProcedure: {scope: scopePeopleRead},

	apiv1connect.PeopleServiceListContactsProcedure:  {scope: scopePeopleRead},
	apiv1connect.PeopleServiceAddContactProcedure:    {scope: scopePeopleWrite},
	apiv1connect.PeopleServiceUpdateContactProcedure: {scope: scopePeopleWrite},
	apiv1connect.PeopleServiceRemoveContactProcedure: {scope: scopePeopleWrite},
	apiv1connect.PeopleServiceReadInviteProcedure:    {scope: scopePeopleRead},
	apiv1connect.PeopleServiceBlockProcedure:         {scope: scopePeopleWrite},
	apiv1connect.PeopleServiceUnblockProcedure:       {scope: scopePeopleWrite},
	apiv1connect.PeopleServiceListBlocksProcedure:    {scope: scopePeopleRead},

	apiv1connect.MessageServiceSendMessageProcedure:       {scope: scopeSend},
	apiv1connect.MessageServiceEditMessageProcedure:       {scope: scopeSend},
	apiv1connect.MessageServiceDeleteMessageProcedure:     {scope: scopeSend},
	apiv1connect.MessageServiceReactProcedure:             {scope: scopeSend},
	apiv1connect.MessageServiceResendMessageProcedure:     {scope: scopeSend},
	apiv1connect.MessageServiceGetMessageProcedure:        {scope: scopeRead},
	apiv1connect.MessageServiceListMessagesProcedure:      {scope: scopeRead},
	apiv1connect.MessageServiceSearchMessagesProcedure:    {scope: scopeRead},
	apiv1connect.MessageServiceExplainMessageProcedure:    {scope: scopeRead},
	apiv1connect.MessageServiceListConversationsProcedure: {scope: scopeRead},
	apiv1connect.MessageServiceMarkReadProcedure:          {scope: scopeSend}, // others may learn of it
	apiv1connect.MessageServiceSaveDraftProcedure:         {scope: scopeSend},

	apiv1connect.MailServiceGetMailStatusProcedure: {scope: scopeNetwork},
	apiv1connect.MailServiceListMailHostsProcedure: {scope: scopeNetwork},

	apiv1connect.EventServiceReadStateProcedure: {scope: scopeEvents},
	apiv1connect.EventServiceWatchProcedure:     {scope: scopeEvents},

	apiv1connect.NetworkServiceGetNetworkProcedure:  {scope: scopeNetwork},
	apiv1connect.NetworkServiceListPeersProcedure:   {scope: scopeNetwork},
	apiv1connect.NetworkServiceFindPeerProcedure:    {scope: scopeNetwork},
	apiv1connect.NetworkServiceConnectPeerProcedure: {owner: true},

	apiv1connect.AdminServiceCreateLoginProcedure: {local: true},
	apiv1connect.AdminServiceCreateTokenProcedure: {local: true},
	apiv1connect.AdminServiceListTokensProcedure:  {local: true},
	apiv1connect.AdminServiceDeleteTokenProcedure: {local: true},
}

// permit says whether c may call at all. It fails with a scopeError.
func (r rule) permit(c *caller) error {
	switch {
	case c.local:
		return nil
	case r.local:
		return &scopeError{need: "the Unix socket"}
	case c.owner:
		return nil
	case r.owner:
		return &scopeError{need: "the page or the Unix socket"}
	case r.scope == "" || c.may(r.scope):
		return nil
	case r.scope == scopeSend && slices.ContainsFunc(c.scopes, isNarrow):
		return nil // maySend decides when the conversation is known
	}
	return &scopeError{need: "scope " + r.scope}
}

// may says whether c has a scope in full.
func (c *caller) may(scope string) bool { return c.owner || slices.Contains(c.scopes, scope) }

// maySend says whether c may write in a conversation. It fails with a
// scopeError.
func (c *caller) maySend(conv chat.Conversation) error {
	if c.may(scopeSend) || slices.Contains(c.scopes, scopeSend+":"+string(conv)) {
		return nil
	}
	return &scopeError{need: "scope " + scopeSend + ":" + string(conv)}
}

func isNarrow(scope string) bool { return strings.HasPrefix(scope, scopeSend+":") }

// scopeError says what a caller would need.
type scopeError struct{ need string }

func (e *scopeError) Error() string { return "not allowed with this token: needs " + e.need }

// parseScopes checks scopes for a new token.
func parseScopes(scopes []string) ([]string, error) {
	if len(scopes) == 0 {
		return nil, invalid("scopes", "name at least one of %s", strings.Join(allScopes, ", "))
	}
	if len(scopes) > maxScopes {
		return nil, invalid("scopes", "at most %d", maxScopes)
	}
	out := make([]string, 0, len(scopes))
	for _, scope := range scopes {
		if conv, ok := strings.CutPrefix(scope, scopeSend+":"); ok {
			account, _ := chat.Conversation(conv).Account()
			id, _, err := identity.ParseAccountID(string(account))
			if err != nil {
				return nil, invalid("scopes", "%s: after %s: comes people/{account}", scope, scopeSend)
			}
			scope = scopeSend + ":" + string(chat.PrivateConversation(id))
		} else if !slices.Contains(allScopes, scope) {
			return nil, invalid("scopes", "%q is none of %s", scope, strings.Join(allScopes, ", "))
		}
		if !slices.Contains(out, scope) {
			out = append(out, scope)
		}
	}
	return out, nil
}

// maxScopes fits every scope and some conversations.
const maxScopes = 64

// invalidError is chat.ErrInvalid about one field of a request.
type invalidError struct{ field, text string }

func (e *invalidError) Error() string { return e.field + ": " + e.text }
func (e *invalidError) Unwrap() error { return chat.ErrInvalid }

func invalid(field, format string, args ...any) error {
	return &invalidError{field: field, text: fmt.Sprintf(format, args...)}
}
