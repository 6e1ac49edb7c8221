"""MLIC++ (Jiang and Wang, ICML workshop 2023): every context at once, at linear cost."""
