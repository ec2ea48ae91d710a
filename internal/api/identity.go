package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"rsc.io/qr"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	"parley/internal/identity"
	"parley/internal/store"
)

const (
	idLink            = "parley:id/"
	defaultInviteLife = 7 * 24 * time.Hour
	maxInviteHours    = 90 * 24
)

func (s identityService) GetIdentity(ctx context.Context, _ *apiv1.GetIdentityRequest) (*apiv1.GetIdentityResponse, error) {
	keys := s.cfg.Keys
	out := &apiv1.GetIdentityResponse{
		Account: string(keys.Account()), Device: string(keys.Device()), Link: idLink + string(keys.Account()),
	}
	for _, d := range keys.Manifest().Devices {
		out.Devices = append(out.Devices, string(d))
	}
	var err error
	if out.LinkQrPng, err = qrPNG(out.Link); err != nil {
		return nil, err
	}
	return out, s.read(ctx, func(v *view) error {
		p, err := v.profile()
		out.DisplayName, out.ReadReceipts = p.GetDisplayName(), p.GetReadReceipts()
		return err
	})
}

func qrPNG(text string) ([]byte, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, fmt.Errorf("drawing the QR code: %w", err)
	}
	return code.PNG(), nil
}

func (s identityService) SetProfile(ctx context.Context, req *apiv1.SetProfileRequest) (*apiv1.SetProfileResponse, error) {
	var name string
	if req.DisplayName != nil {
		var err error
		if name, err = identity.CleanName(*req.DisplayName); err != nil {
			return nil, invalid("display_name", "%v", err)
		}
	}
	out, renamed := &apiv1.SetProfileResponse{}, false
	err := s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		p, err := s.view(tx).profile()
		if err != nil {
			return err
		}
		if req.DisplayName != nil && p.DisplayName != name {
			p.DisplayName, renamed = name, true
			if err := tx.SetSetting(chat.SettingDisplayName, name); err != nil {
				return fmt.Errorf("storing profile: %w", err)
			}
		}
		if req.ReadReceipts != nil && p.ReadReceipts != *req.ReadReceipts {
			p.ReadReceipts = *req.ReadReceipts
			value := ""
			if p.ReadReceipts {
				value = chat.SettingOn
			}
			if err := tx.SetSetting(chat.SettingReadReceipts, value); err != nil {
				return fmt.Errorf("storing profile: %w", err)
			}
		}
		out.DisplayName, out.ReadReceipts = p.DisplayName, p.ReadReceipts
		return nil
	})
	if err == nil && renamed && s.cfg.Renamed != nil {
		s.cfg.Renamed()
	}
	return out, err
}

func (s identityService) GetPhrase(context.Context, *apiv1.GetPhraseRequest) (*apiv1.GetPhraseResponse, error) {
	return &apiv1.GetPhraseResponse{Phrase: s.cfg.Keys.Phrase()}, nil
}

func (s identityService) CreateInvite(ctx context.Context, req *apiv1.CreateInviteRequest) (*apiv1.CreateInviteResponse, error) {
	if req.ValidHours > maxInviteHours {
		return nil, invalid("valid_hours", "at most %d (90 days)", maxInviteHours)
	}
	life := defaultInviteLife
	if req.ValidHours > 0 {
		life = time.Duration(req.ValidHours) * time.Hour
	}
	var name string
	if err := s.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		name, err = tx.Setting(chat.SettingDisplayName)
		return err
	}); err != nil {
		return nil, fmt.Errorf("reading profile: %w", err)
	}
	expires := time.Now().Add(life).Truncate(time.Second)
	link, err := s.cfg.Keys.NewInvite(s.cfg.Network.State().Listen, name, expires)
	if err != nil {
		return nil, fmt.Errorf("making the invite: %w", err)
	}
	png, err := qrPNG(link)
	return &apiv1.CreateInviteResponse{Link: link, QrPng: png, Expires: timestamppb.New(expires)}, err
}

// groups of five digits are what people can compare aloud.
func groups(digits string) string {
	var out []string
	for group := range slices.Chunk([]byte(digits), 5) {
		out = append(out, string(group))
	}
	return strings.Join(out, " ")
}

func (s identityService) GetSafetyNumber(ctx context.Context, req *apiv1.GetSafetyNumberRequest) (*apiv1.GetSafetyNumberResponse, error) {
	a, err := account("account", req.Account)
	if err != nil {
		return nil, err
	}
	digits, err := identity.SafetyNumber(s.cfg.Keys.Account(), a)
	if err != nil {
		return nil, fmt.Errorf("comparing accounts: %w", err)
	}
	out := &apiv1.GetSafetyNumberResponse{Digits: groups(digits)}
	if out.QrPng, err = qrPNG(digits); err != nil {
		return nil, err
	}
	return out, s.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		c, err := tx.Contact(a)
		if errors.Is(err, chat.ErrNotFound) {
			return nil
		}
		out.Verified = stamp(c.Verified)
		return err
	})
}
