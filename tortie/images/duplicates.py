from dataclasses import dataclass
@dataclass
class G:
    notes: tuple = ()
    def joined(self, groups): return groups
def duplicate_groups(k, f, l): return G()
