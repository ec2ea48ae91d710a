package api

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/identity"
	"parley/internal/store"
)

func (s adminService) CreateLogin(context.Context, *apiv1.CreateLoginRequest) (*apiv1.CreateLoginResponse, error) {
	page := s.page()
	if page == "" {
		return nil, errNoPage
	}
	return &apiv1.CreateLoginResponse{Url: page + "#login=" + s.logins.create(time.Now())}, nil
}

func (s adminService) CreateToken(ctx context.Context, req *apiv1.CreateTokenRequest) (*apiv1.CreateTokenResponse, error) {
	name, err := identity.CleanName(req.Name)
	if err != nil {
		return nil, invalid("name", "%v", err)
	}
	scopes, err := parseScopes(req.Scopes)
	if err != nil {
		return nil, err
	}
	if req.ValidHours > uint32(maxTokenLife/time.Hour) {
		return nil, invalid("valid_hours", "at most %d (one year)", maxTokenLife/time.Hour)
	}
	life := defaultTokenLife
	if req.ValidHours > 0 {
		life = time.Duration(req.ValidHours) * time.Hour
	}
	now := time.Now()
	secret := tokenPrefix + newSecret()
	token := store.Token{Hash: hashSecrets(secret), Name: name, Scopes: scopes, Created: now, Expires: now.Add(life)}
	if err := s.addToken(ctx, token); err != nil {
		return nil, err
	}
	return &apiv1.CreateTokenResponse{Token: secret, Id: tokenID(token.Hash), Expires: timestamppb.New(token.Expires)}, nil
}

func (s adminService) ListTokens(context.Context, *apiv1.ListTokensRequest) (*apiv1.ListTokensResponse, error) {
	out := &apiv1.ListTokensResponse{}
	now := time.Now()
	for _, t := range s.tokens.list() {
		if !now.Before(t.Expires) {
			continue
		}
		out.Tokens = append(out.Tokens, &apiv1.Token{
			Id: tokenID(t.Hash), Name: t.Name, Scopes: t.Scopes,
			Created: timestamppb.New(t.Created), Expires: timestamppb.New(t.Expires),
		})
	}
	return out, nil
}

func (s adminService) DeleteToken(ctx context.Context, req *apiv1.DeleteTokenRequest) (*apiv1.DeleteTokenResponse, error) {
	return &apiv1.DeleteTokenResponse{}, s.dropToken(ctx, strings.ToLower(strings.TrimSpace(req.Id)))
}
