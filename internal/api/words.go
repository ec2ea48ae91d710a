package api

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"parley/internal/chat"
	"parley/internal/dm"
)

// waitWords say why a message of ours has not left, by reason code of the
// courier. %s is who it is for.
var waitWords = map[string]string{
	"":            "Waiting for someone to connect",
	"no_record":   "No record of %s found in the network yet",
	"no_address":  "No address known for %s yet",
	"unreachable": "No device of %s answers now",
	"no_answer":   "No device of %s answers now",
	"timed_out":   "No device of %s answers now",
	"cut_off":     "The connection to %s broke; trying again",
	"refused":     "The addresses known for %s belong to somebody else",
	"no_protocol": "The Parley of %s cannot take messages",
	"limit":       "This node has reached its connection limit",
	"blocked":     "You block %s",
	"no_receipt":  "Waiting for a receipt from %s",
	"cooling":     "Waiting because of the pace limit",
	"no_bundle":   "The keys of %s are too old to start a new session",
	"sender_lead": "Waiting for %s to confirm earlier messages",

	"contact_devices_changed": "The devices of %s changed; looking for the new ones",
	"device_lists_differ":     "%s signed two different device lists; nothing goes out until they sign a newer one",
}

// refusedWords say why a message was not accepted. A code of a newer Parley
// stands for itself.
var refusedWords = map[string]string{
	"request_too_long": "first words are limited to 280 characters until they accept",
	"request_links":    "first words cannot carry links until they accept",
	"requests_full":    "too many people are waiting for an answer there",
	"not_accepting":    "they take messages from contacts only",
	"too_large":        "too long (limit 4 KiB)",
	"unknown_content":  "their Parley cannot read this kind of message",
	"blocked":          "you block this person",
	"revoked":          "this device was removed from your account",
	"clock":            "your clock is off",
}

// deliveryWords is the state of a message of ours as a sentence. Who is the
// person it is for, count how many peers it was handed to or keep it, until the
// end of a pace limit.
func deliveryWords(m *chat.Message, who string, count int, until, now time.Time) string {
	switch m.Delivery {
	case chat.DeliveryNone:
		return ""
	case chat.Queued:
		return queuedWords(m.Reason, who, until, now)
	case chat.Sent:
		if count > 1 {
			return fmt.Sprintf("Sent to %d peers", count)
		}
		return "Sent to 1 peer"
	case chat.Held:
		return keptWords(count)
	case chat.Delivered:
		return "Delivered"
	case chat.Read:
		return "Read by " + who
	case chat.Refused:
		reason, ok := refusedWords[m.Reason]
		if !ok {
			reason = m.Reason
		}
		if reason == "" {
			return "Not accepted"
		}
		return "Not accepted: " + reason
	case chat.Expired:
		return "Not delivered by " + m.Time.Time().Add(chat.MessageLife).Format("2 Jan") + ". Send again?"
	}
	return "In a state that this program does not know"
}

// keptWords is how many signed that they keep a message; they are counted.
func keptWords(count int) string {
	switch {
	case count <= 0:
		return "Kept by others"
	case count == 1:
		return "Kept by 1 other"
	}
	return fmt.Sprintf("Kept by %d others", count)
}

// traceWords is where a message is, in one sentence.
func traceWords(t *dm.Trace, who string, until, now time.Time) string {
	m := t.Message
	if !m.Own {
		return "Written by " + who + ", and stored here"
	}
	reached, read, reason := 0, 0, m.Reason
	for _, step := range t.Devices {
		switch step.State {
		case chat.Read:
			read++
			reached++
		case chat.Delivered:
			reached++
		case chat.Queued:
			if reason == "" {
				reason = step.Reason
			}
		}
	}
	switch {
	case read > 0:
		return fmt.Sprintf("Read on %d of %d devices", read, len(t.Devices))
	case reached > 0:
		return fmt.Sprintf("Delivered to %d of %d devices", reached, len(t.Devices))
	case m.Delivery == chat.Queued && until.Sub(now) <= 0:
		return waitingFor(waitTemplate(reason), who)
	}
	return deliveryWords(m, who, handedTo(m.Delivery, t.Devices), until, now)
}

// handedTo is how many a state rests on: peers that were handed the message,
// or those that keep it for the device that is best off.
func handedTo(state chat.Delivery, devices []dm.Step) (n int) {
	for _, d := range devices {
		switch kept := len(dm.Keepers(d.Proof)); {
		case d.State != state:
		case state == chat.Held:
			n = max(n, kept)
		default:
			n += max(1, kept)
		}
	}
	return n
}

// stepWords is how far a message came to one device.
func stepWords(step dm.Step, at chat.HLC, who string, until, now time.Time) string {
	kept := len(dm.Keepers(step.Proof))
	if step.State == chat.Sent && kept > 0 {
		return fmt.Sprintf("Kept by %d so far", kept)
	}
	return deliveryWords(&chat.Message{Delivery: step.State, Reason: step.Reason, Time: at}, who, max(1, kept), until, now)
}

// waitingFor makes a wait's words part of a sentence.
func waitingFor(words, who string) string {
	if strings.HasPrefix(words, "Waiting") {
		return fill(words, who)
	}
	first, size := utf8.DecodeRuneInString(words)
	return "Waiting: " + fill(string(unicode.ToLower(first))+words[size:], who)
}

func waitTemplate(reason string) string {
	if words, ok := waitWords[reason]; ok {
		return words
	}
	return waitWords[""]
}

func queuedWords(reason, who string, until, now time.Time) string {
	if left := until.Sub(now); left > 0 {
		return fmt.Sprintf("Goes out in %d s", int((left+time.Second-1)/time.Second))
	}
	return fill(waitTemplate(reason), who)
}

func fill(words, who string) string {
	if strings.Contains(words, "%s") {
		return fmt.Sprintf(words, who)
	}
	return words
}
