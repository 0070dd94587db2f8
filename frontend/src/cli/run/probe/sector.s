# A boot sector that does what firmware and kernels do, and tells so by a byte to QEMU's isa-debug-exit device at 0xf4.
#
# A KVM that is only half there runs real and protected mode, and stops at the first instruction of the FPU, or resets
# at the way into long mode. What goes wrong here ends in a reset (there are no handlers), and never in that byte.
# Modes: Intel SDM volume 3, 10.8.5; timer: 8254 and 8259A data sheets.
	.set base, 0x7c00	# where BIOS loads the sector
	.set tables, 0x10000	# page tables, three pages
	.set gates, 0x13000	# interrupt gates, 16 bytes each
	.set vector, 0x20	# of the timer: the first after the processor's own

	.code16
probe:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	lgdtl	(gdt_place - probe + base)
	movl	%cr0, %eax
	orb	$1, %al			# PE
	movl	%eax, %cr0
	ljmpl	$0x08, $(protected - probe + base)

	.code32
protected:
	movw	$0x10, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$base, %esp
	xorl	%eax, %eax
	cpuid
	fwait
	fninit

	# The first 2 MiB, each address its own.
	movl	$tables, %edi
	movl	%edi, %cr3
	xorl	%eax, %eax
	movl	$0xc00, %ecx
	cld
	rep stosl
	movl	$(tables + 0x1003), tables
	movl	$(tables + 0x2003), tables + 0x1000
	movl	$0x83, tables + 0x2000
	movl	%cr4, %eax
	orl	$0x620, %eax		# PAE, OSFXSR, OSXMMEXCPT
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx	# EFER
	rdmsr
	orl	$0x100, %eax		# LME
	wrmsr
	movl	%cr0, %eax
	andl	$0xfffffffb, %eax	# no EM: there is an FPU
	orl	$0x80000002, %eax	# PG, MP
	movl	%eax, %cr0
	ljmpl	$0x18, $(long - probe + base)

	.code64
long:
	# 1 + 1 by the FPU, doubled by SSE.
	fninit
	fld1
	fadd	%st(0), %st
	fistpl	0x7000
	cvtsi2sdl	0x7000, %xmm0
	addsd	%xmm0, %xmm0
	cvttsd2si	%xmm0, %eax
	cmpl	$4, %eax
	je	timer
	ud2

timer:
	movl	$(0x180000 + (tick - probe + base)), gates + vector * 16
	movl	$0x8e00, gates + vector * 16 + 4	# an interrupt gate of the kernel's
	movq	$0, gates + vector * 16 + 8
	lidt	(gates_place - probe + base)
	movb	$0x11, %al		# 8259A: edges, cascaded, four words
	outb	%al, $0x20
	movb	$vector, %al
	outb	%al, $0x21
	movb	$4, %al
	outb	%al, $0x21
	movb	$1, %al
	outb	%al, $0x21
	movb	$0xfe, %al		# the timer alone
	outb	%al, $0x21
	movb	$0xff, %al
	outb	%al, $0xa1
	movb	$0x34, %al		# 8254: counter 0, rate generator, 1 ms
	outb	%al, $0x43
	movb	$0xa9, %al
	outb	%al, $0x40
	movb	$0x04, %al
	outb	%al, $0x40
	sti
wait_for_tick:
	hlt
	jmp	wait_for_tick

tick:
	movb	$0x2a, %al
	outb	%al, $0xf4
	hlt

	.p2align 3
gdt:
	.quad	0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00af9a000000ffff
gdt_place:
	.word	gdt_place - gdt - 1
	.long	gdt - probe + base
gates_place:
	.word	(vector + 1) * 16 - 1
	.quad	gates
	.org	probe + 510
	.byte	0x55, 0xaa
