package chat

// Keys of the user's choices in the store. Values are text; "" is the default.
const (
	// SettingDisplayName is what this account calls itself, cleaned.
	SettingDisplayName = "profile.display_name"
	// SettingReadReceipts is "on" when the account tells others what it has
	// read, and then learns the same of them.
	SettingReadReceipts = "profile.read_receipts"
)

// SettingOn is the value of a switch that is on.
const SettingOn = "on"
