package process

import (
	"context"
	"errors"
	"fmt"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"

	"google.golang.org/protobuf/proto"
)

// Proven verifies the signed receipt behind a message that is shown as
// delivered; key is that of the device that must have signed.
func Proven(why *apiv1.ExplainMessageResponse, id string, key []byte) error {
	for _, d := range why.Devices {
		if d.Delivery != apiv1.Delivery_DELIVERY_DELIVERED {
			continue
		}
		payload, err := identity.OpenSigned(key, seal.PurposeReceipt, d.Receipt)
		if err != nil {
			return fmt.Errorf("its receipt: %w", err)
		}
		var r wirev1.Receipt
		if err := proto.Unmarshal(payload, &r); err != nil {
			return err
		}
		for _, m := range r.MessageIds {
			if fmt.Sprintf("%x", m) == id {
				return nil
			}
		}
		return errors.New("its receipt names other messages")
	}
	return errors.New("no device has a receipt")
}

// Messages lists a whole conversation, the oldest first.
func (p *Process) Messages(ctx context.Context, account string) ([]*apiv1.Message, error) {
	var out []*apiv1.Message
	req := &apiv1.ListMessagesRequest{Conversation: "people/" + account, PageSize: chat.MaxPageSize, OldestFirst: true}
	for {
		page, err := p.API.Messages.ListMessages(ctx, req)
		if err != nil {
			return nil, err
		}
		out = append(out, page.Messages...)
		if page.NextPageToken == "" {
			return out, nil
		}
		req.PageToken = page.NextPageToken
	}
}
