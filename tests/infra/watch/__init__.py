"""What the alarms do with what they are told, minute by minute."""
